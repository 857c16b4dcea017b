/* SPDX-License-Identifier: Apache-2.0 */
/* The image table. PURE. */
#include "image.h"

#include <string.h>

#include "base/alloc.h"

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

/* The length of an image reference without its tag or digest. */
static size_t untagged(const char *image)
{
    const char *name = last_part(image);
    return (size_t)(name - image) + strcspn(name, ":@");
}

static bool fits(const char *name, size_t name_size, const char *image)
{
    size_t image_size = strlen(image);
    bool has_tag = untagged(name) < name_size;
    size_t compared = has_tag ? image_size : untagged(image);
    if (compared < name_size || memcmp(image + compared - name_size, name, name_size) != 0) {
        return false;
    }
    return compared == name_size || image[compared - name_size - 1] == '/';
}

const char *image_find(const char *const *rows, size_t count, const char *image)
{
    for (size_t i = count; i-- > 0;) {
        const char *equals = strchr(rows[i], '=');
        if (equals == NULL) {
            continue;
        }
        char *name = str_from(rows[i], (size_t)(equals - rows[i]));
        bool found = fits(name, strlen(name), image);
        mem_free(name);
        if (found) {
            return equals + 1;
        }
    }
    return NULL;
}

char *image_entry(const char *program, const char *command)
{
    bool is_program = command == NULL || (strcmp(last_part(command), last_part(program)) == 0 &&
                                          (command[0] == '/' || strchr(command, '/') == NULL));
    return str_dup(is_program ? program : command);
}
