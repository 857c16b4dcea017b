/* SPDX-License-Identifier: Apache-2.0 */
/* bcrypt by libcrypt. */
#include "engine/server/password.h"

#include <crypt.h>
#include <string.h>

#include "base/alloc.h"

#define MINOR_AT 2u /* of "$2a$" */

/*
 * libcrypt's "2a" deviates for some passwords to resist an old mistake of its own; Go's is what
 * libcrypt calls "2y".
 */
static bool run(const char *password, const char *setting, char out[PASSWORD_HASH_BYTES + 1])
{
    struct crypt_data *data = mem_zalloc(sizeof(*data));
    const char *made = crypt_r(password, setting, data);
    bool fine = made != NULL && strlen(made) == PASSWORD_HASH_BYTES && made[0] == '$';
    if (fine) {
        memcpy(out, made, PASSWORD_HASH_BYTES + 1);
    }
    explicit_bzero(data, sizeof(*data));
    mem_free(data);
    return fine;
}

bool password_hash(const char *password, int cost, const uint8_t salt[PASSWORD_SALT_BYTES],
                   char out[PASSWORD_HASH_BYTES + 1])
{
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    if (strlen(password) > PASSWORD_BYTES_MAX || cost < PASSWORD_COST_MIN ||
        cost > PASSWORD_COST_MAX ||
        crypt_gensalt_rn("$2y$", (unsigned long)cost, (const char *)salt, PASSWORD_SALT_BYTES,
                         setting, (int)sizeof(setting)) == NULL ||
        !run(password, setting, out)) {
        return false;
    }
    out[MINOR_AT] = 'a';
    return true;
}

bool password_matches(const char *password, struct bytes hash, int cost)
{
    static const uint8_t no_salt[PASSWORD_SALT_BYTES] = {0};
    char setting[PASSWORD_HASH_BYTES + 1] = {0};
    char made[PASSWORD_HASH_BYTES + 1] = {0};
    if (hash.data == NULL) {
        char shortened[PASSWORD_BYTES_MAX + 1] = {0};
        memcpy(shortened, password, strnlen(password, PASSWORD_BYTES_MAX));
        (void)password_hash(shortened, cost, no_salt, made);
        explicit_bzero(shortened, sizeof(shortened));
        return false;
    }
    if (hash.size != PASSWORD_HASH_BYTES || memcmp(hash.data, "$2", 2) != 0) {
        return false;
    }
    memcpy(setting, hash.data, PASSWORD_HASH_BYTES);
    setting[MINOR_AT] = 'y';
    if (!run(password, setting, made)) {
        return false;
    }
    unsigned char differs = 0;
    for (size_t i = 0; i < PASSWORD_HASH_BYTES; i++) {
        differs |= (unsigned char)(made[i] ^ setting[i]);
    }
    explicit_bzero(made, sizeof(made));
    return differs == 0;
}
