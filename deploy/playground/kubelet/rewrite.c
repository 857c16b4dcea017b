/* SPDX-License-Identifier: Apache-2.0 */
/* Replacement of mount paths and addresses in one string. PURE. */
#include "rewrite.h"

#include <ctype.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"

/* True when a path may begin behind the first at bytes of text. */
static bool path_may_begin(const char *text, size_t at)
{
    if (at == 0) {
        return true;
    }
    char before = text[at - 1];
    if (before == '/') {
        return at >= 3 && strncmp(text + at - 3, "://", 3) == 0;
    }
    return !isalnum((unsigned char)before) && strchr("._-~)", before) == NULL;
}

static bool path_may_end(char after)
{
    return !isalnum((unsigned char)after) && (after == '\0' || strchr("._-", after) == NULL);
}

static const struct rewrite_mount *find_mount(const struct rewrite *rules, const char *text,
                                              size_t at)
{
    const struct rewrite_mount *best = NULL;
    size_t best_size = 0;
    for (size_t i = 0; i < rules->mount_count && path_may_begin(text, at); i++) {
        const struct rewrite_mount *mount = &rules->mounts[i];
        size_t size = strlen(mount->path);
        if (size > best_size && strncmp(text + at, mount->path, size) == 0 &&
            path_may_end(text[at + size])) {
            best = mount;
            best_size = size;
        }
    }
    return best;
}

/* The address for the host that text names at this place, when a port follows; else NULL. */
static const char *find_address(const struct rewrite *rules, const char *text, size_t at,
                                size_t *out_size)
{
    const struct {
        const char *host;
        const char *address;
    } hosts[] = {{"0.0.0.0:", rules->pod_ip},
                 {"[::]:", rules->pod_ip},
                 {"127.0.0.1:", rules->loopback_ip},
                 {"[::1]:", rules->loopback_ip},
                 {"localhost:", rules->loopback_ip}};
    char before = at == 0 ? ' ' : text[at - 1];
    if (isalnum((unsigned char)before) || before == '.' || before == '-') {
        return NULL;
    }
    for (size_t i = 0; i < ARRAY_COUNT(hosts); i++) {
        size_t size = strlen(hosts[i].host);
        if (hosts[i].address != NULL && strncmp(text + at, hosts[i].host, size) == 0 &&
            isdigit((unsigned char)text[at + size])) {
            *out_size = size - 1;
            return hosts[i].address;
        }
    }
    return NULL;
}

char *rewrite_text(const struct rewrite *rules, const char *text)
{
    struct buf out;
    buf_init(&out, BUF_NO_LIMIT);
    size_t at = 0;
    while (text[at] != '\0') {
        size_t size = 0;
        const struct rewrite_mount *mount = find_mount(rules, text, at);
        const char *address = mount != NULL ? NULL : find_address(rules, text, at, &size);
        if (mount != NULL) {
            buf_append_str(&out, mount->folder);
            at += strlen(mount->path);
        } else if (address != NULL) {
            buf_append_str(&out, address);
            at += size;
        } else {
            buf_append_byte(&out, (uint8_t)text[at]);
            at++;
        }
    }
    char *result = str_dup(buf_cstr(&out));
    buf_free(&out);
    return result;
}
