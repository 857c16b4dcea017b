/* SPDX-License-Identifier: Apache-2.0 */
/* Flags to a connection. */
#include "ctl/client.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/seam/disk.h"
#include "rpc.pb-c.h"

#define PEM_BYTES_MAX      (1024u * 1024u)
#define PASSWORD_BYTES_MAX 1024u
#define AUTH_METHOD        "/etcdserverpb.Auth/Authenticate"

/* ---- where ---- */

static bool wants_tls(const struct ctl_values *values)
{
    return values->cacert[0] != '\0' || values->cert[0] != '\0' ||
           values->insecure_skip_tls_verify || !values->insecure_transport;
}

int client_url(const struct ctl_values *values, char **out_url, struct err *err)
{
    const char *text = values->endpoints;
    size_t size = strcspn(text, ",");
    if (size == 0) {
        return err_set(err, E_INVALID, "--endpoints names no member");
    }
    if (text[size] != '\0') {
        return err_set(err, E_INVALID,
                       "snapshot must be requested to one selected node, not multiple [%s]", text);
    }
    const char *scheme_end = strstr(text, "://");
    if (scheme_end != NULL && !str_starts_with(text, "http://") &&
        !str_starts_with(text, "https://")) {
        return err_set(err, E_INVALID, "endpoint %s: only http and https can be asked", text);
    }
    char *url = scheme_end != NULL
                    ? str_dup(text)
                    : str_printf("%s://%s", wants_tls(values) ? "https" : "http", text);
    for (size_t end = strlen(url); end > 0 && url[end - 1] == '/'; end--) {
        url[end - 1] = '\0';
    }
    *out_url = url;
    return 0;
}

/* ---- with what ---- */

static int read_pem(const char *flag, const char *path, char **out_text, struct err *err)
{
    const struct disk_seam *disk = disk_posix();
    struct disk_file *file;
    uint64_t size = 0;
    if (path[0] == '\0') {
        *out_text = NULL;
        return 0;
    }
    int rc = disk->open(disk->ctx, path, DISK_READ, &file);
    if (rc != 0) {
        return err_set(err, rc, "--%s %s: %s", flag, path, err_code_text(rc));
    }
    rc = disk->size(file, &size);
    if (rc == 0 && size > PEM_BYTES_MAX) {
        rc = E_TOO_BIG;
    }
    size_t got = 0;
    char *text = mem_zalloc((size_t)(rc == 0 ? size : 0) + 1);
    if (rc == 0) {
        rc = disk->read_at(file, 0, text, (size_t)size, &got);
    }
    disk->close(file);
    if (rc != 0) {
        mem_free(text);
        return err_set(err, rc, "--%s %s: %s", flag, path, err_code_text(rc));
    }
    *out_text = text;
    return 0;
}

static int read_certificates(const struct ctl_values *values, struct ctl_client *client,
                             struct err *err)
{
    if ((values->cert[0] != '\0') != (values->key[0] != '\0')) {
        return err_set(err, E_INVALID, "--cert and --key go together");
    }
    int rc = read_pem("cacert", values->cacert, &client->ca, err);
    if (rc == 0) {
        rc = read_pem("cert", values->cert, &client->cert, err);
    }
    if (rc == 0) {
        rc = read_pem("key", values->key, &client->key, err);
    }
    client->tls = (struct http_tls){.ca_pem = client->ca,
                                    .cert_pem = client->cert,
                                    .key_pem = client->key,
                                    .insecure = values->insecure_skip_tls_verify};
    return rc;
}

/* ---- who ---- */

/* Asked for on the terminal, not shown. */
static int ask_password(char *out, size_t size, struct err *err)
{
    struct termios shown;
    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &shown) != 0) {
        return err_set(err, E_INVALID,
                       "--user has no password: say name:password, --password or "
                       "ETCDCTL_PASSWORD");
    }
    struct termios hidden = shown;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    fprintf(stderr, "Password: ");
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    bool good = fgets(out, (int)size, stdin) != NULL;
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
    fprintf(stderr, "\n");
    if (!good) {
        return err_set(err, E_INVALID, "no password was given");
    }
    out[strcspn(out, "\r\n")] = '\0';
    return 0;
}

static int fetch_token(const struct ctl_values *values, struct ctl_client *client, char *name,
                       char *password, struct err *err)
{
    Etcdserverpb__AuthenticateRequest request = ETCDSERVERPB__AUTHENTICATE_REQUEST__INIT;
    Etcdserverpb__AuthenticateResponse *answer = NULL;
    struct arena arena;
    request.name = name;
    request.password = password;
    struct etcd_call *call = etcd_call_start(client->http, &client->endpoint, AUTH_METHOD,
                                             &request.base, (uint64_t)values->command_timeout_ms);
    etcd_call_wait(call);
    arena_init(&arena, ETCD_ANSWER_BYTES_MAX);
    int rc = etcd_call_result(call, &etcdserverpb__authenticate_response__descriptor, &arena,
                              (ProtobufCMessage **)(void *)&answer, err);
    if (rc == 0) {
        client->token = str_dup(answer->token);
    }
    arena_wipe(&arena);
    arena_free(&arena);
    etcd_call_free(call);
    return rc;
}

static int log_in(const struct ctl_values *values, struct ctl_client *client, struct err *err)
{
    char typed[PASSWORD_BYTES_MAX] = "";
    if (values->user[0] == '\0') {
        return 0;
    }
    char *name = str_dup(values->user);
    char *colon = values->password[0] == '\0' ? strchr(name, ':') : NULL;
    char *password = typed;
    int rc = 0;
    if (colon != NULL) {
        *colon = '\0';
        password = colon + 1;
    } else if (values->password[0] != '\0') {
        rc = strlen(values->password) < sizeof(typed)
                 ? 0
                 : err_set(err, E_INVALID, "--password is too long");
        if (rc == 0) {
            memcpy(typed, values->password, strlen(values->password) + 1);
        }
    } else {
        rc = ask_password(typed, sizeof(typed), err);
    }
    if (rc == 0) {
        rc = fetch_token(values, client, name, password, err);
    }
    explicit_bzero(typed, sizeof(typed));
    explicit_bzero(name, strlen(values->user));
    mem_free(name);
    return rc;
}

int client_open(const struct ctl_values *values, struct ctl_client *out_client, struct err *err)
{
    *out_client = (struct ctl_client){0};
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return err_set(err, E_UNAVAILABLE, "libcurl cannot be started");
    }
    out_client->http = http_new();
    int rc = client_url(values, &out_client->url, err);
    if (rc == 0) {
        rc = read_certificates(values, out_client, err);
    }
    if (rc == 0) {
        bool is_tls = str_starts_with(out_client->url, "https://");
        out_client->endpoint =
            (struct etcd_endpoint){.url = out_client->url, .tls = is_tls ? &out_client->tls : NULL};
        rc = log_in(values, out_client, err);
    }
    return rc;
}

void client_close(struct ctl_client *client)
{
    if (client->http != NULL) {
        http_free(client->http);
    }
    if (client->key != NULL) {
        explicit_bzero(client->key, strlen(client->key));
    }
    mem_free(client->url);
    mem_free(client->ca);
    mem_free(client->cert);
    mem_free(client->key);
    mem_free(client->token);
    *client = (struct ctl_client){0};
    curl_global_cleanup();
}
