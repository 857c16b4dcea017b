/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client shows instead of its password. Simple tokens are made by the log, so that every
 * member knows them, and each member forgets those that it was not shown for a while; signed ones
 * (jwt.h) are known by nobody and checked by their signature. For the state thread.
 */
#ifndef ENGINE_SERVER_TOKEN_H
#define ENGINE_SERVER_TOKEN_H

#include "base/buf.h"
#include "base/defs.h"
#include "base/err.h"

#define TOKEN_PREFIX_LETTERS    16u
#define TOKEN_TTL_DEFAULT_S     300u
#define TOKEN_FINGERPRINT_CHARS 12u

struct tokens;

/* kind is --auth-token: "simple", or "jwt" and its options; E_INVALID with etcd's text. ttl_s: of
 * simple tokens; 0: the default. */
BASE_MUST_CHECK int tokens_new(const char *kind, uint64_t ttl_s, struct tokens **out_tokens,
                               struct err *err);
void tokens_free(struct tokens *tokens);

/* The random part of a simple token; "" with signed ones, which need none. */
void tokens_prefix(const struct tokens *tokens, char out[TOKEN_PREFIX_LETTERS + 1]);

/*
 * A log entry at index has authenticated the user: makes the token known and appends it to out.
 * With signed tokens only when is_asked (somebody here waits for it). False: it cannot be signed.
 */
BASE_MUST_CHECK bool tokens_assign(struct tokens *tokens, const char *user, const char *prefix,
                                   uint64_t index, uint64_t revision, bool is_asked,
                                   uint64_t now_ms, int64_t wall_ns, struct buf *out);

/* The index that must be applied before a token is known; 0: there is nothing to wait for. */
uint64_t tokens_index_of(const struct tokens *tokens, const char *token);

/*
 * Whose it is, and under which auth revision (simple ones: revision). *out_user is the caller's
 * (mem_free). It lives on for its whole time from now.
 */
BASE_MUST_CHECK bool tokens_check(struct tokens *tokens, const char *token, uint64_t revision,
                                  uint64_t now_ms, int64_t wall_ns, char **out_user,
                                  uint64_t *out_revision);

/* Forgets: of one user, all, what is too old. */
void tokens_drop_user(struct tokens *tokens, const char *user);
void tokens_drop_all(struct tokens *tokens);
void tokens_expire(struct tokens *tokens, uint64_t now_ms);

/* A few digits that tell tokens apart in logs and give nothing away. */
void token_fingerprint(const char *token, char out[TOKEN_FINGERPRINT_CHARS + 1]);

#endif
