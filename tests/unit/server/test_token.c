/* SPDX-License-Identifier: Apache-2.0 */
/* Passwords, simple tokens and signed ones: what is good, and what is no longer or never was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "engine/server/jwt.h"
#include "engine/server/password.h"
#include "engine/server/token.h"

#define NOW_NS   (1800000000ll * 1000000000)
#define MINUTE   (60ll * 1000000000)
#define COST_LOW 4

/* ---- passwords ---- */

static void hashes_of_other_programs_verify(void **state)
{
    (void)state;
    static const struct {
        const char *password, *hash;
    } known[] = {
        {"allmine", "$2a$10$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt.wU1qD4aFDcga"}, /* of Go */
        {"U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"},
        {"", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy"},
        {"\xa3", "$2a$05$/OK.fbVrR/bpIqNJ5ianF.Sa7shbm4.OzKpvFnX1pQLmQW96oUlCq"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(known); i++) {
        struct bytes hash = bytes_of_str(known[i].hash);
        assert_true(password_matches(known[i].password, hash, COST_LOW));
        assert_false(password_matches("something else", hash, COST_LOW));
    }
}

static void a_password_verifies_against_its_own_hash_alone(void **state)
{
    (void)state;
    static const uint8_t salt[PASSWORD_SALT_BYTES] = "0123456789abcde";
    char hash[PASSWORD_HASH_BYTES + 1];
    char again[PASSWORD_HASH_BYTES + 1];
    char limit[PASSWORD_BYTES_MAX + 2];
    memset(limit, 'x', sizeof(limit) - 1);
    limit[PASSWORD_BYTES_MAX + 1] = '\0';
    assert_false(password_hash(limit, COST_LOW, salt, hash)); /* 73 */
    limit[PASSWORD_BYTES_MAX] = '\0';
    assert_true(password_hash(limit, COST_LOW, salt, hash));
    assert_true(password_matches(limit, bytes_of_str(hash), COST_LOW));
    assert_int_equal(strncmp(hash, "$2a$04$", 7), 0);
    assert_true(password_hash(limit, COST_LOW, salt, again));
    assert_string_equal(hash, again); /* the salt alone makes the difference */
    limit[3] = 'y';
    assert_false(password_matches(limit, bytes_of_str(hash), COST_LOW));
    assert_false(password_matches("x", (struct bytes){NULL, 0}, COST_LOW));
    assert_false(password_matches("x", bytes_of_str("$2a$04$short"), COST_LOW));
    assert_false(password_matches("", bytes_of_str(""), COST_LOW));
    assert_false(password_hash("x", PASSWORD_COST_MIN - 1, salt, hash));
    assert_false(password_hash("x", PASSWORD_COST_MAX + 1, salt, hash));
}

/* ---- simple tokens ---- */

static bool is_good(struct tokens *tokens, const char *token, uint64_t now_ms, const char *user)
{
    char *found = NULL;
    uint64_t revision = 0;
    bool good = tokens_check(tokens, token, 9, now_ms, NOW_NS, &found, &revision);
    if (good) {
        assert_string_equal(found, user);
        assert_int_equal(revision, 9);
    }
    mem_free(found);
    return good;
}

static void assign(struct tokens *tokens, const char *user, const char *prefix, uint64_t now_ms)
{
    struct buf out;
    buf_init(&out, BUF_NO_LIMIT);
    assert_true(tokens_assign(tokens, user, prefix, 7, 9, false, now_ms, NOW_NS, &out));
    assert_string_equal(buf_cstr(&out) + strlen(prefix), ".7");
    buf_free(&out);
}

static void simple_tokens_live_while_they_are_used(void **state)
{
    (void)state;
    struct tokens *tokens;
    assert_int_equal(tokens_new("simple", 10, &tokens, NULL), 0);
    assign(tokens, "al", "one", 1000);
    assign(tokens, "bo", "two", 1000);
    assert_true(is_good(tokens, "one.7", 9000, "al"));
    assert_true(is_good(tokens, "one.7", 18000, "al"));
    assert_false(is_good(tokens, "two.7", 18000, "bo")); /* never shown */
    tokens_expire(tokens, 28001);
    assert_false(is_good(tokens, "one.7", 28001, "al"));
    assign(tokens, "al", "three", 30000);
    assign(tokens, "bo", "four", 30000);
    tokens_drop_user(tokens, "al");
    assert_false(is_good(tokens, "three.7", 30000, "al"));
    assert_true(is_good(tokens, "four.7", 30000, "bo"));
    tokens_drop_all(tokens);
    assert_false(is_good(tokens, "four.7", 30000, "bo"));
    tokens_free(tokens);
}

static void the_number_of_a_token_is_read_or_it_has_none(void **state)
{
    (void)state;
    struct tokens *tokens;
    assert_int_equal(tokens_new("simple", 0, &tokens, NULL), 0);
    assert_int_equal(tokens_index_of(tokens, "abc.123"), 123);
    assert_int_equal(tokens_index_of(tokens, "abc.18446744073709551615"), UINT64_MAX);
    static const char *const none[] = {"",       "abc",   "abc.", "abc.1.2",
                                       "abc.-1", "abc.x", ".",    "abc.18446744073709551616",
                                       "a.0x1",  "a. 1",  "a.+1", "a.99999999999999999999999"};
    for (size_t i = 0; i < ARRAY_COUNT(none); i++) {
        assert_int_equal(tokens_index_of(tokens, none[i]), 0);
        assert_false(is_good(tokens, none[i], 0, ""));
    }
    char a[TOKEN_PREFIX_LETTERS + 1];
    char b[TOKEN_PREFIX_LETTERS + 1];
    tokens_prefix(tokens, a);
    tokens_prefix(tokens, b);
    assert_int_equal(strlen(a), TOKEN_PREFIX_LETTERS);
    assert_string_not_equal(a, b);
    tokens_free(tokens);
}

/* ---- signed tokens ---- */

struct keys {
    char folder[64];
    char private_path[96], public_path[96], other_path[96];
};

static void write_key(const char *path, EVP_PKEY *key, bool is_private)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    int fine = is_private ? PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL)
                          : PEM_write_PUBKEY(file, key);
    assert_int_equal(fine, 1);
    fclose(file);
}

static EVP_PKEY *make_key(const char *method)
{
    if (method[0] == 'E' && method[1] == 'd') {
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    }
    if (method[0] == 'E') {
        return EVP_PKEY_Q_keygen(NULL, NULL, "EC",
                                 strcmp(method, "ES256") == 0   ? "P-256"
                                 : strcmp(method, "ES384") == 0 ? "P-384"
                                                                : "P-521");
    }
    return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1280);
}

static void keys_make(struct keys *keys, const char *method)
{
    snprintf(keys->folder, sizeof(keys->folder), "/tmp/quorate-jwt-XXXXXX");
    assert_non_null(mkdtemp(keys->folder));
    snprintf(keys->private_path, sizeof(keys->private_path), "%s/key", keys->folder);
    snprintf(keys->public_path, sizeof(keys->public_path), "%s/pub", keys->folder);
    snprintf(keys->other_path, sizeof(keys->other_path), "%s/other", keys->folder);
    EVP_PKEY *key = make_key(method);
    EVP_PKEY *other = make_key(method);
    write_key(keys->private_path, key, true);
    write_key(keys->public_path, key, false);
    write_key(keys->other_path, other, true);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
}

static void keys_remove(const struct keys *keys)
{
    unlink(keys->private_path);
    unlink(keys->public_path);
    unlink(keys->other_path);
    rmdir(keys->folder);
}

static struct jwt_signer *signer_of(const char *options, ...) BASE_PRINTF(1, 2);
static struct jwt_signer *signer_of(const char *options, ...)
{
    va_list args;
    struct jwt_signer *signer = NULL;
    struct err err;
    va_start(args, options);
    char *text = str_vprintf(options, args);
    va_end(args);
    int rc = jwt_signer_new(text, &signer, &err);
    mem_free(text);
    return rc == 0 ? signer : NULL;
}

static bool passes(const struct jwt_signer *signer, const char *token, int64_t now_ns)
{
    char *user = NULL;
    uint64_t revision = 0;
    bool good = jwt_check(signer, token, now_ns, &user, &revision);
    if (good) {
        assert_string_equal(user, "al \"x\"");
        assert_int_equal(revision, 42);
    }
    mem_free(user);
    return good;
}

static char *token_of(const struct jwt_signer *signer)
{
    struct buf out;
    size_t size;
    buf_init(&out, BUF_NO_LIMIT);
    assert_true(jwt_sign(signer, "al \"x\"", 42, NOW_NS, &out));
    (void)buf_cstr(&out);
    return (char *)buf_take(&out, &size);
}

/* Every place of a token matters. */
static void assert_no_byte_may_change(const struct jwt_signer *signer, char *token)
{
    size_t size = strlen(token);
    for (size_t i = 0; i < size; i++) {
        char was = token[i];
        bool is_last_of_part = token[i + 1] == '\0' || token[i + 1] == '.';
        token[i] = was == 'A' ? 'B' : 'A';
        if (!is_last_of_part) { /* which may hold bits that count for nothing */
            assert_false(passes(signer, token, NOW_NS));
        }
        token[i] = '!';
        assert_false(passes(signer, token, NOW_NS));
        token[i] = was;
    }
    assert_true(passes(signer, token, NOW_NS));
}

static void signed_tokens_of_each_method_pass_with_their_key_alone(void **state)
{
    (void)state;
    static const char *const methods[] = {"RS256", "RS384", "RS512", "PS256", "PS384",
                                          "PS512", "ES256", "ES384", "ES512", "EdDSA",
                                          "HS256", "HS384", "HS512"};
    for (size_t i = 0; i < ARRAY_COUNT(methods); i++) {
        struct keys keys;
        keys_make(&keys, methods[i]);
        struct jwt_signer *signer =
            signer_of(",priv-key=%s,sign-method=%s,ttl=10m", keys.private_path, methods[i]);
        struct jwt_signer *other =
            signer_of(",priv-key=%s,sign-method=%s", keys.other_path, methods[i]);
        assert_non_null(signer);
        assert_non_null(other);
        char *token = token_of(signer);
        assert_true(passes(signer, token, NOW_NS));
        assert_true(passes(signer, token, NOW_NS + 9 * MINUTE));
        assert_false(passes(signer, token, NOW_NS + 11 * MINUTE));
        assert_false(passes(other, token, NOW_NS));
        assert_no_byte_may_change(signer, token);
        if (methods[i][0] != 'H') {
            struct jwt_signer *checks =
                signer_of(",pub-key=%s,priv-key=,sign-method=%s", keys.public_path, methods[i]);
            assert_non_null(checks);
            assert_true(passes(checks, token, NOW_NS));
            assert_false(jwt_can_sign(checks));
            struct buf none;
            buf_init(&none, BUF_NO_LIMIT);
            assert_false(jwt_sign(checks, "al", 1, NOW_NS, &none));
            assert_null(signer_of(",pub-key=%s,priv-key=%s,sign-method=%s", keys.public_path,
                                  keys.other_path, methods[i]));
            jwt_signer_free(checks);
        }
        mem_free(token);
        jwt_signer_free(signer);
        jwt_signer_free(other);
        keys_remove(&keys);
    }
}

/* The classic: a token signed by HMAC with the public key's text as the secret. */
static void a_public_key_is_no_secret(void **state)
{
    (void)state;
    struct keys keys;
    keys_make(&keys, "RS256");
    struct jwt_signer *rsa =
        signer_of(",priv-key=%s,sign-method=RS256,ttl=1h30m", keys.private_path);
    struct jwt_signer *forger = signer_of(",priv-key=%s,sign-method=HS256", keys.public_path);
    assert_non_null(rsa);
    assert_non_null(forger);
    char *forged = token_of(forger);
    assert_true(passes(forger, forged, NOW_NS));
    assert_false(passes(rsa, forged, NOW_NS));
    mem_free(forged);
    jwt_signer_free(rsa);
    jwt_signer_free(forger);
    keys_remove(&keys);
}

static void wrong_options_are_refused(void **state)
{
    (void)state;
    struct keys keys;
    keys_make(&keys, "ES256");
    assert_null(signer_of(",sign-method=RS256"));
    assert_null(signer_of(",priv-key=%s", keys.private_path));
    assert_null(signer_of(",priv-key=%s,sign-method=RS256", keys.private_path)); /* not of RSA */
    assert_null(signer_of(",priv-key=%s,sign-method=ES384", keys.private_path)); /* other curve */
    assert_null(signer_of(",priv-key=%s,sign-method=none", keys.private_path));
    assert_null(signer_of(",priv-key=%s,sign-method=ES256,ttl=soon", keys.private_path));
    assert_null(signer_of(",priv-key=%s,sign-method=ES256,ttl=-5m", keys.private_path));
    assert_null(signer_of(",priv-key=%s,priv-key=x,sign-method=ES256", keys.private_path));
    assert_null(signer_of(",priv-key=/none/there,sign-method=ES256"));
    assert_null(signer_of(",x"));
    struct tokens *tokens;
    struct err err;
    assert_int_equal(tokens_new("", 0, &tokens, &err), E_INVALID);
    assert_int_equal(tokens_new("simpleton", 0, &tokens, &err), E_INVALID);
    assert_string_equal(err.text, "auth: invalid auth options");
    keys_remove(&keys);
}

static void what_is_no_token_is_refused(void **state)
{
    (void)state;
    struct keys keys;
    keys_make(&keys, "ES256");
    struct jwt_signer *signer = signer_of(",priv-key=%s,sign-method=ES256", keys.private_path);
    static const char *const none[] = {"",      ".",        "..",  "...",
                                       "a.b.c", "e30.e30.", "abc", "\xff.\xff.\xff"};
    for (size_t i = 0; i < ARRAY_COUNT(none); i++) {
        assert_false(passes(signer, none[i], NOW_NS));
    }
    char *huge = mem_alloc(JWT_BYTES_MAX * 2 + 1);
    memset(huge, 'A', JWT_BYTES_MAX * 2);
    huge[JWT_BYTES_MAX * 2] = '\0';
    assert_false(passes(signer, huge, NOW_NS));
    huge[10] = huge[100] = '.';
    assert_false(passes(signer, huge, NOW_NS));
    mem_free(huge);
    jwt_signer_free(signer);
    keys_remove(&keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_of_other_programs_verify),
        cmocka_unit_test(a_password_verifies_against_its_own_hash_alone),
        cmocka_unit_test(simple_tokens_live_while_they_are_used),
        cmocka_unit_test(the_number_of_a_token_is_read_or_it_has_none),
        cmocka_unit_test(signed_tokens_of_each_method_pass_with_their_key_alone),
        cmocka_unit_test(a_public_key_is_no_secret),
        cmocka_unit_test(wrong_options_are_refused),
        cmocka_unit_test(what_is_no_token_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
