/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bcrypt as etcd writes it: "$2a$<cost>$" and 53 characters. What etcd has hashed verifies here and
 * the other way round. Slow on purpose: never on the state thread, but for entries of etcd before
 * 3.5.
 */
#ifndef ENGINE_SERVER_PASSWORD_H
#define ENGINE_SERVER_PASSWORD_H

#include "base/bytes.h"
#include "base/defs.h"

#define PASSWORD_BYTES_MAX    72u /* bcrypt looks at no more */
#define PASSWORD_HASH_BYTES   60u
#define PASSWORD_SALT_BYTES   16u
#define PASSWORD_COST_MIN     4
#define PASSWORD_COST_MAX     31
#define PASSWORD_COST_DEFAULT 10
#define PASSWORD_TOO_LONG     "bcrypt: password length exceeds 72 bytes"

/* Hashes with this salt; false when the password is too long or the cost is out of bounds. */
bool password_hash(const char *password, int cost, const uint8_t salt[PASSWORD_SALT_BYTES],
                   char out[PASSWORD_HASH_BYTES + 1]);

/* Takes as long for a wrong password as for the right one. hash NULL: takes as long as for a user
 * that exists, and is false. */
bool password_matches(const char *password, struct bytes hash, int cost);

#endif
