/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection. OpenSSL works on the socket through a BIO of ours (its own would raise SIGPIPE):
 * what comes is decrypted straight into the reader's memory, large writes are encrypted from where
 * they lie, small ones are gathered into one record.
 */
#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/tls/internal.h"

#define READ_ON_BYTES 16384u

/* ---- the socket ---- */

static int socket_write(BIO *bio, const char *data, int size)
{
    const struct tls_transport *transport = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t sent = send(transport->fd, data, (size_t)size, MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) {
        BIO_set_retry_write(bio);
    }
    return (int)sent;
}

static int socket_read(BIO *bio, char *out, int size)
{
    const struct tls_transport *transport = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t got = recv(transport->fd, out, (size_t)size, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        BIO_set_retry_read(bio);
    } else if (got == 0) {
        BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    }
    return (int)got;
}

static long socket_control(BIO *bio, int command, long number, void *pointer)
{
    (void)number;
    (void)pointer;
    switch (command) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_EOF:
        return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    default:
        return 0;
    }
}

BIO_METHOD *tls_socket_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "stream socket");
    ASSERT(method != NULL);
    BIO_meth_set_write(method, socket_write);
    BIO_meth_set_read(method, socket_read);
    BIO_meth_set_ctrl(method, socket_control);
    return method;
}

/* ---- errors ---- */

/* Words for what went wrong, unless a rule of ours has given its own. */
static void describe(struct tls_transport *transport, unsigned long error)
{
    if (transport->failure[0] != '\0' || error == 0) {
        return;
    }
    int reason = ERR_GET_REASON(error);
    const char *text = ERR_reason_error_string(error);
    if (ERR_GET_LIB(error) == ERR_LIB_SSL && reason >= SSL_AD_REASON_OFFSET) {
        snprintf(transport->failure, sizeof(transport->failure), "remote error: tls: %s",
                 SSL_alert_desc_string_long(reason - SSL_AD_REASON_OFFSET));
    } else {
        snprintf(transport->failure, sizeof(transport->failure), "tls: %s",
                 text == NULL ? "failed" : text);
    }
}

/* What a call of OpenSSL that gave rc means for the stream. */
static int outcome(struct tls_transport *transport, int rc)
{
    int errnum = errno;
    int code = E_IO;
    unsigned long error = ERR_peek_error();
    switch (SSL_get_error(transport->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        code = E_AGAIN;
        break;
    case SSL_ERROR_WANT_WRITE:
        transport->wants_write = true;
        code = E_AGAIN;
        break;
    case SSL_ERROR_ZERO_RETURN:
        code = E_CLOSED;
        break;
    case SSL_ERROR_SSL:
        code = E_CORRUPT;
        if (ERR_GET_LIB(error) == ERR_LIB_SSL &&
            ERR_GET_REASON(error) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
            code = E_TRUNCATED; /* the end without close_notify: somebody may have cut it */
            snprintf(transport->failure, sizeof(transport->failure), "unexpected EOF");
        }
        describe(transport, error);
        break;
    case SSL_ERROR_SYSCALL:
        code = errnum == ECONNRESET || errnum == EPIPE ? E_CLOSED
               : errnum == ETIMEDOUT                   ? E_TIMEOUT
                                                       : E_IO;
        if (transport->failure[0] == '\0') {
            snprintf(transport->failure, sizeof(transport->failure), "%s",
                     errnum == 0 ? "EOF" : strerrordesc_np(errnum));
        }
        break;
    default:
        break;
    }
    ERR_clear_error();
    return code;
}

/* ---- the transport ---- */

static struct tls_transport *of(struct stream_transport *transport)
{
    return CONTAINER_OF(transport, struct tls_transport, base);
}

static const struct tls_transport *of_const(const struct stream_transport *transport)
{
    return (const struct tls_transport *)(const void *)transport;
}

static int tls_handshake(struct stream_transport *base, int fd, uint32_t *out_wants)
{
    struct tls_transport *transport = of(base);
    transport->fd = fd;
    transport->wants_write = false;
    ERR_clear_error();
    int rc = SSL_do_handshake(transport->ssl);
    if (rc == 1) {
        tls_identify(transport);
        return 0;
    }
    rc = outcome(transport, rc);
    *out_wants = transport->wants_write ? LOOP_WRITABLE : LOOP_READABLE;
    return rc;
}

static ssize_t tls_read(struct stream_transport *base, int fd, void *out, size_t size)
{
    struct tls_transport *transport = of(base);
    size_t done = 0;
    transport->fd = fd;
    transport->wants_write = false;
    if (transport->pending_error != 0) {
        return transport->pending_error == E_CLOSED ? 0 : transport->pending_error;
    }
    while (done < size) {
        size_t got = 0;
        ERR_clear_error();
        if (SSL_read_ex(transport->ssl, (uint8_t *)out + done, size - done, &got) != 1) {
            int rc = outcome(transport, 0);
            if (done > 0 && rc != E_AGAIN) {
                transport->pending_error = rc;
            } else if (done == 0) {
                bool is_end = rc == E_CLOSED && transport->failure[0] == '\0';
                return is_end ? 0 : rc;
            }
            break;
        }
        done += got;
        if (done < READ_ON_BYTES && SSL_has_pending(transport->ssl) == 0) {
            break; /* so little at once was all: asking again would cost a call for nothing */
        }
    }
    return (ssize_t)done;
}

/* The next bytes for one record: from where they lie, or small parts gathered. */
static struct bytes next_record(const struct tls_transport *transport, const struct iovec *parts,
                                int part_count, int at, size_t offset)
{
    const uint8_t *first = (const uint8_t *)parts[at].iov_base + offset;
    size_t size = BASE_MIN(parts[at].iov_len - offset, TLS_RECORD_BYTES);
    if (size == TLS_RECORD_BYTES || at + 1 == part_count) {
        return bytes_of(first, size);
    }
    uint8_t *gather = transport->maker->gather;
    memcpy(gather, first, size);
    for (int i = at + 1; i < part_count && size < TLS_RECORD_BYTES; i++) {
        size_t part = BASE_MIN(parts[i].iov_len, TLS_RECORD_BYTES - size);
        memcpy(gather + size, parts[i].iov_base, part);
        size += part;
    }
    return bytes_of(gather, size);
}

static ssize_t tls_writev(struct stream_transport *base, int fd, const struct iovec *parts,
                          int part_count)
{
    struct tls_transport *transport = of(base);
    size_t done = 0;
    size_t offset = 0;
    int at = 0;
    transport->fd = fd;
    while (at < part_count) {
        struct bytes record = next_record(transport, parts, part_count, at, offset);
        size_t written = 0;
        ERR_clear_error();
        if (record.size > 0 &&
            SSL_write_ex(transport->ssl, record.data, record.size, &written) != 1) {
            bool wanted_write = transport->wants_write; /* that is about reading */
            int rc = outcome(transport, 0);
            transport->wants_write = wanted_write;
            return done > 0 && rc == E_AGAIN ? (ssize_t)done : rc;
        }
        done += written;
        offset += written;
        while (at < part_count && offset >= parts[at].iov_len) {
            offset -= parts[at].iov_len;
            at++;
        }
    }
    return (ssize_t)done;
}

static bool tls_has_pending(const struct stream_transport *base)
{
    const struct tls_transport *transport = of_const(base);
    return transport->pending_error != 0 || SSL_has_pending(transport->ssl) != 0;
}

static bool tls_read_wants_write(const struct stream_transport *base)
{
    return of_const(base)->wants_write;
}

static void tls_shutdown(struct stream_transport *base, int fd)
{
    struct tls_transport *transport = of(base);
    transport->fd = fd;
    if (SSL_is_init_finished(transport->ssl)) {
        (void)SSL_shutdown(transport->ssl);
        ERR_clear_error();
    }
}

static const char *tls_failure(const struct stream_transport *base)
{
    return of_const(base)->failure;
}

static const struct stream_identity *tls_identity(const struct stream_transport *base)
{
    const struct tls_transport *transport = of_const(base);
    return SSL_is_init_finished(transport->ssl) ? &transport->identity : NULL;
}

static const char *tls_server_name(const struct stream_transport *base)
{
    return SSL_get_servername(of_const(base)->ssl, TLSEXT_NAMETYPE_host_name);
}

static void tls_free(struct stream_transport *base)
{
    struct tls_transport *transport = of(base);
    SSL_free(transport->ssl);
    mem_free(transport->protocol);
    mem_free(transport->common_name);
    for (size_t i = 0; i < transport->host_count; i++) {
        mem_free(transport->hosts[i]);
    }
    mem_free(transport->hosts);
    mem_free(transport);
}

static const struct stream_transport_ops TLS_OPS = {
    .handshake = tls_handshake,
    .read = tls_read,
    .writev = tls_writev,
    .has_pending = tls_has_pending,
    .read_wants_write = tls_read_wants_write,
    .shutdown = tls_shutdown,
    .failure = tls_failure,
    .identity = tls_identity,
    .server_name = tls_server_name,
    .free = tls_free,
};

struct stream_transport *tls_transport_new(struct tls_maker *maker, SSL_CTX *context,
                                           bool is_server)
{
    struct tls_transport *transport = mem_zalloc(sizeof(*transport));
    transport->base.ops = &TLS_OPS;
    transport->maker = maker;
    transport->fd = -1;
    transport->ssl = SSL_new(context);
    BIO *bio = BIO_new(maker->socket_method);
    ASSERT(transport->ssl != NULL && bio != NULL); /* no memory */
    BIO_set_data(bio, transport);
    BIO_set_init(bio, 1);
    SSL_set_bio(transport->ssl, bio, bio);
    SSL_set_app_data(transport->ssl, transport);
    if (is_server) {
        SSL_set_accept_state(transport->ssl);
    } else {
        SSL_set_connect_state(transport->ssl);
    }
    return &transport->base;
}

void tls_transport_expect(struct stream_transport *base, const char *host)
{
    tls_expect_host(of(base)->ssl, host);
}
