/* SPDX-License-Identifier: Apache-2.0 */
/* Simple tokens by their hash: a table lookup tells nothing about how much of a guess was right. */
#include "engine/server/token.h"

#include <inttypes.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "engine/server/jwt.h"
#include "engine/server/process.h"

#define INDEX_DIGITS_MAX 20u

struct token {
    uint64_t ends_ms;
    char user[]; /* NUL-terminated */
};

struct tokens {
    struct jwt_signer *jwt; /* NULL: simple */
    struct map simple;      /* SHA-256 -> struct token */
    uint64_t ttl_ms;
};

int tokens_new(const char *kind, uint64_t ttl_s, struct tokens **out_tokens, struct err *err)
{
    struct tokens *tokens = mem_zalloc(sizeof(*tokens));
    size_t size = strcspn(kind, ",");
    int rc = 0;
    map_init(&tokens->simple);
    tokens->ttl_ms = (ttl_s == 0 ? TOKEN_TTL_DEFAULT_S : ttl_s) * 1000u;
    if (size == 3 && memcmp(kind, "jwt", size) == 0) {
        rc = jwt_signer_new(kind + size, &tokens->jwt, err);
    } else if (size != 6 || memcmp(kind, "simple", size) != 0) {
        rc = err_set(err, E_INVALID, "auth: invalid auth options");
    }
    if (rc != 0) {
        tokens_free(tokens);
        return rc;
    }
    *out_tokens = tokens;
    return 0;
}

void tokens_free(struct tokens *tokens)
{
    if (tokens != NULL) {
        tokens_drop_all(tokens);
        map_free(&tokens->simple);
        jwt_signer_free(tokens->jwt);
        mem_free(tokens);
    }
}

void tokens_prefix(const struct tokens *tokens, char out[TOKEN_PREFIX_LETTERS + 1])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    const size_t count = sizeof(letters) - 1;
    size_t size = 0;
    while (tokens->jwt == NULL && size < TOKEN_PREFIX_LETTERS) {
        uint64_t random = process_random();
        for (size_t i = 0; i < sizeof(random) && size < TOKEN_PREFIX_LETTERS; i++) {
            uint8_t byte = (uint8_t)(random >> (8 * i));
            if (byte < 256 / count * count) { /* each letter is as likely as the others */
                out[size++] = letters[byte % count];
            }
        }
    }
    out[size] = '\0';
}

static struct bytes key_of(const char *token, uint8_t out[SHA256_DIGEST_LENGTH])
{
    SHA256((const unsigned char *)token, strlen(token), out);
    return bytes_of(out, SHA256_DIGEST_LENGTH);
}

bool tokens_assign(struct tokens *tokens, const char *user, const char *prefix, uint64_t index,
                   uint64_t revision, bool is_asked, uint64_t now_ms, int64_t wall_ns,
                   struct buf *out)
{
    uint8_t key[SHA256_DIGEST_LENGTH];
    if (tokens->jwt != NULL) {
        return !is_asked || jwt_sign(tokens->jwt, user, revision, wall_ns, out);
    }
    struct token *token = mem_alloc(sizeof(*token) + strlen(user) + 1);
    token->ends_ms = now_ms + tokens->ttl_ms;
    memcpy(token->user, user, strlen(user) + 1);
    buf_printf(out, "%s.%" PRIu64, prefix, index);
    mem_free(map_set(&tokens->simple, key_of(buf_cstr(out), key), token));
    return true;
}

/* The number behind the only dot; false when it has another form. */
static bool index_of(const char *token, uint64_t *out_index)
{
    const char *dot = strchr(token, '.');
    uint64_t index = 0;
    if (dot == NULL || dot[1] == '\0' || strlen(dot + 1) > INDEX_DIGITS_MAX) {
        return false;
    }
    for (const char *at = dot + 1; *at != '\0'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (*at < '0' || *at > '9' || index > (UINT64_MAX - digit) / 10) {
            return false;
        }
        index = index * 10 + digit;
    }
    *out_index = index;
    return true;
}

uint64_t tokens_index_of(const struct tokens *tokens, const char *token)
{
    uint64_t index = 0;
    return tokens->jwt == NULL && index_of(token, &index) ? index : 0;
}

bool tokens_check(struct tokens *tokens, const char *token, uint64_t revision, uint64_t now_ms,
                  int64_t wall_ns, char **out_user, uint64_t *out_revision)
{
    uint8_t key[SHA256_DIGEST_LENGTH];
    if (tokens->jwt != NULL) {
        return jwt_check(tokens->jwt, token, wall_ns, out_user, out_revision);
    }
    struct token *found = map_get(&tokens->simple, key_of(token, key));
    if (found == NULL || found->ends_ms < now_ms) {
        return false;
    }
    found->ends_ms = now_ms + tokens->ttl_ms;
    *out_user = str_dup(found->user);
    *out_revision = revision;
    return true;
}

/* Those of a user (NULL: of everybody) that end before now_ms. */
static void drop(struct tokens *tokens, const char *user, uint64_t now_ms)
{
    size_t cursor = 0;
    struct bytes key;
    void *value;
    while (map_next(&tokens->simple, &cursor, &key, &value)) {
        struct token *token = value;
        if (token->ends_ms < now_ms && (user == NULL || strcmp(token->user, user) == 0)) {
            (void)map_remove(&tokens->simple, key);
            mem_free(token);
        }
    }
}

void tokens_drop_user(struct tokens *tokens, const char *user)
{
    drop(tokens, user, UINT64_MAX);
}

void tokens_drop_all(struct tokens *tokens)
{
    drop(tokens, NULL, UINT64_MAX);
}

void tokens_expire(struct tokens *tokens, uint64_t now_ms)
{
    drop(tokens, NULL, now_ms);
}

void token_fingerprint(const char *token, char out[TOKEN_FINGERPRINT_CHARS + 1])
{
    uint8_t hash[SHA256_DIGEST_LENGTH];
    (void)key_of(token, hash);
    for (size_t i = 0; i < TOKEN_FINGERPRINT_CHARS / 2; i++) {
        snprintf(out + 2 * i, 3, "%02x", hash[i]);
    }
}
