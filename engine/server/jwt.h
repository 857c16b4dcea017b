/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signed tokens (--auth-token jwt,...): made and checked with keys from files. What comes in is
 * anybody's: it counts only with a signature by the one method that was configured.
 */
#ifndef ENGINE_SERVER_JWT_H
#define ENGINE_SERVER_JWT_H

#include "base/buf.h"
#include "base/defs.h"
#include "base/err.h"

#define JWT_BYTES_MAX      8192u
#define JWT_TTL_DEFAULT_NS (5ll * 60 * 1000000000)

struct jwt_signer;

/*
 * options is what follows "jwt" in the flag: ",pub-key=F,priv-key=F,sign-method=RS256,ttl=10m".
 * Methods: RS, PS, ES and HS with 256, 384 and 512, and EdDSA. Without a private key tokens can be
 * checked but not made. E_INVALID with etcd's text.
 */
BASE_MUST_CHECK int jwt_signer_new(const char *options, struct jwt_signer **out_signer,
                                   struct err *err);
void jwt_signer_free(struct jwt_signer *signer);

bool jwt_can_sign(const struct jwt_signer *signer);

/* Appends a token; false when it cannot be signed. */
BASE_MUST_CHECK bool jwt_sign(const struct jwt_signer *signer, const char *user, uint64_t revision,
                              int64_t now_ns, struct buf *out);

/* Who it was made for; *out_user is the caller's (mem_free). False: no token of ours, or its time
 * is over. */
BASE_MUST_CHECK bool jwt_check(const struct jwt_signer *signer, const char *token, int64_t now_ns,
                               char **out_user, uint64_t *out_revision);

#endif
