/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Web Tokens by OpenSSL. */
#include "engine/server/jwt.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "base/json.h"
#include "base/log.h"

#define KEY_FILE_BYTES_MAX (1024u * 1024u)
#define SIGNATURE_MAX      1024u
#define OPTION_INVALID     "auth: invalid auth options"
#define KEY_MISSING        "auth: missing key data"

enum jwt_family { JWT_HMAC, JWT_RSA, JWT_PSS, JWT_EC, JWT_ED };

static const struct jwt_method {
    const char *name;
    enum jwt_family family;
    const char *digest;
    size_t half_bytes; /* EC: of each of the two numbers of a signature */
} METHODS[] = {
    {"HS256", JWT_HMAC, "SHA256", 0}, {"HS384", JWT_HMAC, "SHA384", 0},
    {"HS512", JWT_HMAC, "SHA512", 0}, {"RS256", JWT_RSA, "SHA256", 0},
    {"RS384", JWT_RSA, "SHA384", 0},  {"RS512", JWT_RSA, "SHA512", 0},
    {"PS256", JWT_PSS, "SHA256", 0},  {"PS384", JWT_PSS, "SHA384", 0},
    {"PS512", JWT_PSS, "SHA512", 0},  {"ES256", JWT_EC, "SHA256", 32},
    {"ES384", JWT_EC, "SHA384", 48},  {"ES512", JWT_EC, "SHA512", 66},
    {"EdDSA", JWT_ED, NULL, 0},
};

struct jwt_signer {
    const struct jwt_method *method;
    EVP_PKEY *key; /* private when can_sign */
    struct buf secret;
    bool can_sign;
    int64_t ttl_ns;
};

/* ---- options and keys ---- */

static int no_passphrase(char *buf, int size, int rwflag, void *ctx)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)ctx;
    return 0; /* never asks at a terminal */
}

static int read_file(const char *path, struct buf *out, struct err *err)
{
    FILE *file = fopen(path, "rbe");
    if (file == NULL) {
        return err_set(err, E_INVALID, "open %s: %s", path, strerror(errno));
    }
    char part[4096];
    size_t size;
    while ((size = fread(part, 1, sizeof(part), file)) > 0) {
        buf_append(out, part, size);
    }
    bool failed = ferror(file) != 0 || out->overflowed;
    (void)fclose(file);
    explicit_bzero(part, sizeof(part));
    return failed ? err_set(err, E_INVALID, "read %s: not a key file", path) : 0;
}

static EVP_PKEY *read_public(BIO *bio)
{
    EVP_PKEY *key = PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL);
    if (key == NULL) {
        (void)BIO_reset(bio);
        X509 *certificate = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
        key = certificate != NULL ? X509_get_pubkey(certificate) : NULL;
        X509_free(certificate);
    }
    return key;
}

static EVP_PKEY *parse_key(const struct buf *text, bool is_private)
{
    BIO *bio = BIO_new_mem_buf(text->data, (int)text->size);
    EVP_PKEY *key = bio == NULL  ? NULL
                    : is_private ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL)
                                 : read_public(bio);
    BIO_free(bio);
    return key;
}

static bool key_fits(const struct jwt_method *method, const EVP_PKEY *key)
{
    int kind = EVP_PKEY_get_base_id(key);
    switch (method->family) {
    case JWT_EC:
        return kind == EVP_PKEY_EC &&
               (size_t)(EVP_PKEY_get_bits(key) + 7) / 8 == method->half_bytes;
    case JWT_ED:
        return kind == EVP_PKEY_ED25519;
    default:
        return kind == EVP_PKEY_RSA;
    }
}

static int load_keys(struct jwt_signer *signer, const char *public_path, const char *private_path,
                     struct err *err)
{
    struct buf public_text;
    EVP_PKEY *public_key = NULL;
    int rc = 0;
    buf_init(&public_text, KEY_FILE_BYTES_MAX);
    if (*private_path != '\0') {
        rc = read_file(private_path, &signer->secret, err);
    }
    if (rc == 0 && *public_path != '\0') {
        rc = read_file(public_path, &public_text, err);
    }
    if (rc == 0 && signer->method->family == JWT_HMAC) {
        signer->can_sign = true;
        rc = signer->secret.size == 0 ? err_set(err, E_INVALID, KEY_MISSING) : 0;
    } else if (rc == 0) {
        if (signer->secret.size > 0) {
            signer->key = parse_key(&signer->secret, true);
            signer->can_sign = true;
        }
        if (public_text.size > 0) {
            public_key = parse_key(&public_text, false);
        }
        if (signer->secret.size == 0 && public_text.size == 0) {
            rc = err_set(err, E_INVALID, KEY_MISSING);
        } else if ((signer->secret.size > 0 && signer->key == NULL) ||
                   (public_text.size > 0 && public_key == NULL)) {
            rc = err_set(err, E_INVALID, "key is invalid: it must be PEM of a %s key",
                         signer->method->name);
        } else if (signer->key != NULL && public_key != NULL &&
                   EVP_PKEY_eq(signer->key, public_key) != 1) {
            rc = err_set(err, E_INVALID, "auth: public and private keys don't match");
        } else if (signer->key == NULL) {
            signer->key = public_key;
            public_key = NULL;
        }
        if (rc == 0 && !key_fits(signer->method, signer->key)) {
            rc = err_set(err, E_INVALID, "key is of invalid type for %s", signer->method->name);
        }
        if (signer->secret.data != NULL) {
            explicit_bzero(signer->secret.data, signer->secret.size); /* it lives in the key now */
        }
        buf_clear(&signer->secret);
    }
    EVP_PKEY_free(public_key);
    buf_free(&public_text);
    return rc;
}

/* "10m", "1h30m", "300s", as Go writes durations; false when it is none. */
static bool parse_duration(const char *text, int64_t *out_ns)
{
    static const struct {
        const char *unit;
        double ns;
    } units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 6e10}, {"h", 3.6e12}};
    double total = 0;
    if (*text == '\0') {
        return false;
    }
    while (*text != '\0') {
        char *end;
        double number = *text >= '0' && *text <= '9' ? strtod(text, &end) : -1;
        if (number < 0) {
            return false;
        }
        size_t size = strspn(end, "nusmh");
        size_t at = 0;
        while (at < ARRAY_COUNT(units) &&
               (strlen(units[at].unit) != size || memcmp(units[at].unit, end, size) != 0)) {
            at++;
        }
        if (at == ARRAY_COUNT(units)) {
            return false;
        }
        total += number * units[at].ns;
        text = end + size;
    }
    *out_ns = total < 7e18 ? (int64_t)total : (int64_t)7e18;
    return true;
}

static const struct jwt_method *find_method(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(METHODS); i++) {
        if (strcmp(METHODS[i].name, name) == 0) {
            return &METHODS[i];
        }
    }
    return NULL;
}

enum option { OPTION_PUBLIC, OPTION_PRIVATE, OPTION_METHOD, OPTION_TTL, OPTION_COUNT };

/* Splits ",a=b,c=d" into values, which the caller frees. */
static int split_options(const char *options, char *values[OPTION_COUNT], struct err *err)
{
    static const char *const names[OPTION_COUNT] = {"pub-key", "priv-key", "sign-method", "ttl"};
    while (*options == ',') {
        size_t size = strcspn(++options, ",");
        const char *equals = memchr(options, '=', size);
        size_t name_size = equals == NULL ? 0 : (size_t)(equals - options);
        if (equals == NULL || memchr(equals + 1, '=', size - name_size - 1) != NULL) {
            return err_set(err, E_INVALID, OPTION_INVALID);
        }
        int at = 0;
        while (at < OPTION_COUNT &&
               (strlen(names[at]) != name_size || memcmp(names[at], options, name_size) != 0)) {
            at++;
        }
        if (at == OPTION_COUNT) {
            char *name = str_from(options, name_size);
            LOG_WARN("unknown JWT options", LOG_STR("key", name));
            mem_free(name);
        } else if (values[at] != NULL) {
            return err_set(err, E_INVALID, OPTION_INVALID);
        } else {
            values[at] = str_from(equals + 1, size - name_size - 1);
        }
        options += size;
    }
    return *options == '\0' ? 0 : err_set(err, E_INVALID, OPTION_INVALID);
}

static const char *or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

int jwt_signer_new(const char *options, struct jwt_signer **out_signer, struct err *err)
{
    char *values[OPTION_COUNT] = {NULL};
    struct jwt_signer *signer = mem_zalloc(sizeof(*signer));
    buf_init(&signer->secret, KEY_FILE_BYTES_MAX);
    signer->ttl_ns = JWT_TTL_DEFAULT_NS;
    int rc = split_options(options, values, err);
    if (rc == 0) {
        signer->method = find_method(or_empty(values[OPTION_METHOD]));
        if (signer->method == NULL || (values[OPTION_TTL] != NULL && *values[OPTION_TTL] != '\0' &&
                                       !parse_duration(values[OPTION_TTL], &signer->ttl_ns))) {
            rc = err_set(err, E_INVALID, OPTION_INVALID);
        }
    }
    if (rc == 0) {
        rc = load_keys(signer, or_empty(values[OPTION_PUBLIC]), or_empty(values[OPTION_PRIVATE]),
                       err);
    }
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        mem_free(values[i]);
    }
    if (rc != 0) {
        jwt_signer_free(signer);
        return rc;
    }
    *out_signer = signer;
    return 0;
}

void jwt_signer_free(struct jwt_signer *signer)
{
    if (signer != NULL) {
        EVP_PKEY_free(signer->key);
        if (signer->secret.data != NULL) {
            explicit_bzero(signer->secret.data, signer->secret.size);
        }
        buf_free(&signer->secret);
        mem_free(signer);
    }
}

bool jwt_can_sign(const struct jwt_signer *signer)
{
    return signer->can_sign;
}

/* ---- signatures ---- */

static bool hmac_of(const struct jwt_signer *signer, struct bytes text,
                    uint8_t out[EVP_MAX_MD_SIZE], size_t *out_size)
{
    return EVP_Q_mac(NULL, "HMAC", NULL, signer->method->digest, NULL, signer->secret.data,
                     signer->secret.size, text.data, text.size, out, EVP_MAX_MD_SIZE,
                     out_size) != NULL;
}

static bool set_padding(const struct jwt_signer *signer, EVP_PKEY_CTX *key_ctx, int salt)
{
    return signer->method->family != JWT_PSS ||
           (EVP_PKEY_CTX_set_rsa_padding(key_ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
            EVP_PKEY_CTX_set_rsa_pss_saltlen(key_ctx, salt) == 1);
}

/* Two numbers of fixed size, as tokens have them, and the DER that OpenSSL takes. */
static bool ec_to_raw(const struct jwt_method *method, struct bytes der, uint8_t *out)
{
    const unsigned char *at = der.data;
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &at, (long)der.size);
    int half = (int)method->half_bytes;
    bool fine = pair != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(pair), out, half) == half &&
                BN_bn2binpad(ECDSA_SIG_get0_s(pair), out + half, half) == half;
    ECDSA_SIG_free(pair);
    return fine;
}

static bool ec_to_der(const struct jwt_method *method, struct bytes raw, uint8_t *out,
                      size_t *out_size)
{
    int half = (int)method->half_bytes;
    if (raw.size != 2 * method->half_bytes) {
        return false;
    }
    ECDSA_SIG *pair = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw.data, half, NULL);
    BIGNUM *s = BN_bin2bn(raw.data + half, half, NULL);
    int size = -1;
    if (pair != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(pair, r, s) == 1) {
        r = s = NULL; /* the pair's now */
        size = i2d_ECDSA_SIG(pair, NULL);
        if (size > 0 && (size_t)size <= SIGNATURE_MAX) {
            size = i2d_ECDSA_SIG(pair, &out);
        } else {
            size = -1;
        }
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(pair);
    *out_size = size < 0 ? 0 : (size_t)size;
    return size > 0;
}

static bool sign(const struct jwt_signer *signer, struct bytes text, uint8_t out[SIGNATURE_MAX],
                 size_t *out_size)
{
    if (signer->method->family == JWT_HMAC) {
        return hmac_of(signer, text, out, out_size);
    }
    uint8_t made[SIGNATURE_MAX];
    size_t size = sizeof(made);
    EVP_PKEY_CTX *key_ctx;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool fine = ctx != NULL &&
                EVP_DigestSignInit_ex(ctx, &key_ctx, signer->method->digest, NULL, NULL,
                                      signer->key, NULL) == 1 &&
                set_padding(signer, key_ctx, RSA_PSS_SALTLEN_DIGEST) &&
                EVP_DigestSign(ctx, made, &size, text.data, text.size) == 1;
    EVP_MD_CTX_free(ctx);
    if (fine && signer->method->family == JWT_EC) {
        *out_size = 2 * signer->method->half_bytes;
        return ec_to_raw(signer->method, bytes_of(made, size), out);
    }
    if (fine) {
        memcpy(out, made, size);
        *out_size = size;
    }
    return fine;
}

static bool verify(const struct jwt_signer *signer, struct bytes text, struct bytes signature)
{
    uint8_t made[SIGNATURE_MAX];
    size_t size = 0;
    if (signature.size > SIGNATURE_MAX) {
        return false;
    }
    if (signer->method->family == JWT_HMAC) {
        return hmac_of(signer, text, made, &size) && size == signature.size &&
               CRYPTO_memcmp(made, signature.data, size) == 0;
    }
    if (signer->method->family == JWT_EC) {
        if (!ec_to_der(signer->method, signature, made, &size)) {
            return false;
        }
        signature = bytes_of(made, size);
    }
    EVP_PKEY_CTX *key_ctx;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool fine = ctx != NULL &&
                EVP_DigestVerifyInit_ex(ctx, &key_ctx, signer->method->digest, NULL, NULL,
                                        signer->key, NULL) == 1 &&
                set_padding(signer, key_ctx, RSA_PSS_SALTLEN_AUTO) &&
                EVP_DigestVerify(ctx, signature.data, signature.size, text.data, text.size) == 1;
    EVP_MD_CTX_free(ctx);
    return fine;
}

/* ---- tokens ---- */

bool jwt_sign(const struct jwt_signer *signer, const char *user, uint64_t revision, int64_t now_ns,
              struct buf *out)
{
    struct buf text;
    struct buf claims;
    uint8_t signature[SIGNATURE_MAX];
    size_t size = 0;
    char head[64];
    snprintf(head, sizeof(head), "{\"alg\":\"%s\",\"typ\":\"JWT\"}", signer->method->name);
    buf_init(&claims, BUF_NO_LIMIT);
    buf_printf(&claims, "{\"exp\":%" PRId64 ",\"revision\":%" PRIu64 ",\"username\":",
               (now_ns + signer->ttl_ns) / 1000000000, revision);
    json_write_string(user, strlen(user), &claims);
    buf_append_byte(&claims, '}');
    buf_init(&text, BUF_NO_LIMIT);
    base64_encode(bytes_of_str(head), BASE64_URL, &text);
    buf_append_byte(&text, '.');
    base64_encode(buf_bytes(&claims), BASE64_URL, &text);
    bool fine = signer->can_sign && sign(signer, buf_bytes(&text), signature, &size);
    if (fine) {
        buf_append(out, text.data, text.size);
        buf_append_byte(out, '.');
        base64_encode(bytes_of(signature, size), BASE64_URL, out);
    }
    buf_free(&text);
    buf_free(&claims);
    return fine;
}

static struct json *decode_json(struct bytes part)
{
    struct buf text;
    buf_init(&text, JWT_BYTES_MAX);
    struct json *value = base64_append_decoded(part, BASE64_URL, &text)
                             ? json_parse((const char *)text.data, text.size, NULL)
                             : NULL;
    buf_free(&text);
    return value;
}

static bool is_number(const struct json *value)
{
    return json_is(value, JSON_INT) || json_is(value, JSON_NUMBER);
}

/* Claims that limit a token's time, where it has them. */
static bool is_in_time(const struct json *claims, int64_t now_ns)
{
    double now = (double)now_ns / 1e9;
    const struct json *expires = json_get(claims, "exp");
    const struct json *begins = json_get(claims, "nbf");
    if ((expires != NULL && !is_number(expires)) || (begins != NULL && !is_number(begins))) {
        return false;
    }
    return (expires == NULL || now < json_f64(expires, 0)) &&
           (begins == NULL || now >= json_f64(begins, 0));
}

bool jwt_check(const struct jwt_signer *signer, const char *token, int64_t now_ns, char **out_user,
               uint64_t *out_revision)
{
    size_t size = strnlen(token, JWT_BYTES_MAX + 1);
    const char *second = memchr(token, '.', size);
    const char *third = second == NULL ? NULL : strchr(second + 1, '.');
    if (size > JWT_BYTES_MAX || third == NULL || strchr(third + 1, '.') != NULL) {
        return false;
    }
    struct json *head = decode_json(bytes_of(token, (size_t)(second - token)));
    bool fine = str_equal(json_path_str(head, "alg", NULL), signer->method->name);
    json_free(head);
    struct buf signature;
    buf_init(&signature, SIGNATURE_MAX);
    fine = fine && base64_append_decoded(bytes_of_str(third + 1), BASE64_URL, &signature) &&
           !signature.overflowed &&
           verify(signer, bytes_of(token, (size_t)(third - token)), buf_bytes(&signature));
    buf_free(&signature);
    if (!fine) {
        return false;
    }
    struct json *claims = decode_json(bytes_of(second + 1, (size_t)(third - second - 1)));
    const char *user = json_path_str(claims, "username", NULL);
    const struct json *revision = json_get(claims, "revision");
    double number = json_f64(revision, -1);
    fine = user != NULL && is_number(revision) && number >= 0 && number < 9e18 &&
           is_in_time(claims, now_ns);
    if (fine) {
        *out_user = str_dup(user);
        *out_revision = (uint64_t)number;
    }
    json_free(claims);
    return fine;
}
