/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's own certificate. kubectl sends its token only over TLS, so there must be some: a
 * self-signed certificate for 127.0.0.1 and localhost, kept in the state folder.
 */
#ifndef PLAYGROUND_APISERVER_TLS_H
#define PLAYGROUND_APISERVER_TLS_H

#include <openssl/ssl.h>

#include "base/err.h"

/* Loads DIR/tls.crt and DIR/tls.key, made the first time. Gives *out_context (SSL_CTX_free). */
BASE_MUST_CHECK int tls_open(const char *dir, SSL_CTX **out_context, struct err *err);

/* Gives the certificate in PEM (mem_free). */
BASE_MUST_CHECK int tls_certificate_pem(SSL_CTX *context, char **out_pem, struct err *err);

#endif
