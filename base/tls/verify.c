/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may talk to us: after the chain and its dates (OpenSSL), etcd's own rules: serial numbers
 * that were revoked, allowed common names, allowed hosts. All are asked inside the handshake, so
 * that who is refused hears why.
 */
#include <arpa/inet.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/tls/internal.h"

#define HOST_FLAGS (X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS)

static bool is_address(const char *host)
{
    uint8_t address[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

static bool cert_is_for(X509 *cert, const char *host)
{
    return is_address(host) ? X509_check_ip_asc(cert, host, 0) == 1
                            : X509_check_host(cert, host, 0, HOST_FLAGS, NULL) == 1;
}

/* A text of the certificate without surprises: no NUL inside. NULL: it has some. */
static char *clean_text(const ASN1_STRING *string)
{
    unsigned char *utf8 = NULL;
    int size = ASN1_STRING_to_UTF8(&utf8, string);
    char *text = NULL;
    if (size > 0 && memchr(utf8, '\0', (size_t)size) == NULL) {
        text = str_from(utf8, (size_t)size);
    }
    OPENSSL_free(utf8);
    return text;
}

/* The last one counts where there are several, as in Go. */
static char *common_name(const X509 *cert)
{
    const X509_NAME *subject = X509_get_subject_name(cert);
    int last = -1;
    for (int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1); at >= 0;
         at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) {
        last = at;
    }
    if (last < 0) {
        return NULL;
    }
    return clean_text(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, last)));
}

static bool is_allowed(const struct tls_config *config, X509 *cert)
{
    bool allowed = config->allowed_name_count == 0 && config->allowed_host_count == 0;
    char *name = common_name(cert);
    for (size_t i = 0; i < config->allowed_name_count; i++) {
        allowed = allowed || (name != NULL && strcmp(name, config->allowed_names[i]) == 0);
    }
    for (size_t i = 0; i < config->allowed_host_count; i++) {
        allowed = allowed || cert_is_for(cert, config->allowed_hosts[i]);
    }
    mem_free(name);
    return allowed;
}

static bool is_revoked(const struct tls_maker *maker, X509 *cert)
{
    for (int i = 0; i < sk_X509_CRL_num(maker->revoked); i++) {
        X509_REVOKED *entry = NULL;
        if (X509_CRL_get0_by_serial(sk_X509_CRL_value(maker->revoked, i), &entry,
                                    X509_get_serialNumber(cert)) == 1) {
            return true;
        }
    }
    return false;
}

/* Every certificate that was shown, or was found to lead to the authority. */
static X509 *find_revoked(const struct tls_maker *maker, X509_STORE_CTX *store)
{
    STACK_OF(X509) *
        stacks[] = {X509_STORE_CTX_get0_chain(store), X509_STORE_CTX_get0_untrusted(store)};
    for (size_t s = 0; s < ARRAY_COUNT(stacks); s++) {
        for (int i = 0; i < sk_X509_num(stacks[s]); i++) {
            if (is_revoked(maker, sk_X509_value(stacks[s], i))) {
                return sk_X509_value(stacks[s], i);
            }
        }
    }
    return NULL;
}

static int refuse(struct tls_transport *transport, X509_STORE_CTX *store, int error,
                  const char *text)
{
    snprintf(transport->failure, sizeof(transport->failure), "%s", text);
    X509_STORE_CTX_set_error(store, error);
    return 0;
}

static int check_rules(struct tls_transport *transport, X509_STORE_CTX *store)
{
    const struct tls_maker *maker = transport->maker;
    char text[TLS_FAILURE_TEXT_MAX];
    if (maker->revoked_error[0] != '\0') {
        return refuse(transport, store, X509_V_ERR_UNABLE_TO_GET_CRL, maker->revoked_error);
    }
    X509 *revoked = find_revoked(maker, store);
    if (revoked != NULL) {
        BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(revoked), NULL);
        char *hex = number == NULL ? NULL : BN_bn2hex(number);
        snprintf(text, sizeof(text), "transport: certificate serial %.100s revoked",
                 hex == NULL ? "" : hex);
        OPENSSL_free(hex);
        BN_free(number);
        return refuse(transport, store, X509_V_ERR_CERT_REVOKED, text);
    }
    if (!is_allowed(&maker->config, X509_STORE_CTX_get0_cert(store))) {
        return refuse(transport, store, X509_V_ERR_APPLICATION_VERIFICATION,
                      "client certificate authentication failed");
    }
    return 1;
}

/*
 * A certificate for any use is for this one too (RFC 5280, 4.2.1.12; Go thinks so, OpenSSL does
 * not). Its key must still be one that may sign.
 */
static int allow_any_use(int ok, X509_STORE_CTX *store)
{
    X509 *cert = X509_STORE_CTX_get_current_cert(store);
    if (ok == 1 || cert == NULL || X509_STORE_CTX_get_error(store) != X509_V_ERR_INVALID_PURPOSE) {
        return ok;
    }
    bool any_use = (X509_get_extension_flags(cert) & EXFLAG_XKUSAGE) != 0 &&
                   (X509_get_extended_key_usage(cert) & XKU_ANYEKU) != 0;
    bool is_leaf = X509_STORE_CTX_get_error_depth(store) == 0;
    uint32_t needed = is_leaf ? KU_DIGITAL_SIGNATURE | KU_KEY_AGREEMENT : KU_KEY_CERT_SIGN;
    if (!any_use || (X509_get_key_usage(cert) & needed) == 0) {
        return ok;
    }
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

int tls_verify(X509_STORE_CTX *store, void *arg)
{
    (void)arg;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_transport *transport = SSL_get_app_data(ssl);
    if (SSL_get_verify_mode(ssl) == SSL_VERIFY_NONE) {
        return 1;
    }
    X509_STORE_CTX_set_verify_cb(store, allow_any_use);
    if (X509_verify_cert(store) != 1) {
        char text[TLS_FAILURE_TEXT_MAX];
        snprintf(text, sizeof(text), "tls: failed to verify certificate: %s",
                 X509_verify_cert_error_string(X509_STORE_CTX_get_error(store)));
        int error = X509_STORE_CTX_get_error(store);
        return refuse(transport, store, error == X509_V_OK ? X509_V_ERR_UNSPECIFIED : error, text);
    }
    return check_rules(transport, store);
}

static char *address_text(const ASN1_OCTET_STRING *address)
{
    char text[INET6_ADDRSTRLEN];
    int size = ASN1_STRING_length(address);
    int family = size == 4 ? AF_INET : AF_INET6;
    if ((size != 4 && size != 16) ||
        inet_ntop(family, ASN1_STRING_get0_data(address), text, sizeof(text)) == NULL) {
        return NULL;
    }
    return str_dup(text);
}

static void identify_hosts(struct tls_transport *transport, X509 *cert)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    int count = names == NULL ? 0 : sk_GENERAL_NAME_num(names);
    transport->hosts = mem_array((size_t)count + 1, sizeof(*transport->hosts));
    for (int i = 0; i < count; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        char *text = name->type == GEN_DNS     ? clean_text(name->d.dNSName)
                     : name->type == GEN_IPADD ? address_text(name->d.iPAddress)
                                               : NULL;
        if (text != NULL) {
            transport->hosts[transport->host_count++] = text;
        }
    }
    GENERAL_NAMES_free(names);
}

void tls_identify(struct tls_transport *transport)
{
    const unsigned char *protocol = NULL;
    unsigned size = 0;
    SSL_get0_alpn_selected(transport->ssl, &protocol, &size);
    transport->protocol = size == 0 ? NULL : str_from(protocol, size);
    X509 *cert = SSL_get0_peer_certificate(transport->ssl);
    if (cert != NULL && SSL_get_verify_mode(transport->ssl) != SSL_VERIFY_NONE) {
        char *name = common_name(cert);
        transport->common_name = name != NULL ? name : str_dup("");
        identify_hosts(transport, cert);
    }
    transport->identity = (struct stream_identity){
        .protocol = transport->protocol,
        .common_name = transport->common_name,
        .hosts = (const char *const *)transport->hosts,
        .host_count = transport->host_count,
    };
}

void tls_expect_host(SSL *ssl, const char *host)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    if (is_address(host)) {
        (void)X509_VERIFY_PARAM_set1_ip_asc(param, host);
        return;
    }
    X509_VERIFY_PARAM_set_hostflags(param, HOST_FLAGS);
    (void)X509_VERIFY_PARAM_set1_host(param, host, 0);
    (void)SSL_set_tlsext_host_name(ssl, host);
}
