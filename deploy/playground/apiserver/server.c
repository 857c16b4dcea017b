/* SPDX-License-Identifier: Apache-2.0 */
/* Start and stop of the whole, the token and the kubeconfig. */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "apiserver.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/base64.h"
#include "tls.h"

#define TOKEN_BYTES    24u
#define TOKEN_TEXT_MAX 256u

/* Writes text to path through a temporary file, mode 0600. */
static int write_file(const char *path, const char *text, struct err *err)
{
    char *next = str_printf("%s.new", path);
    int fd = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t size = strlen(text);
    bool is_written = fd >= 0 && write(fd, text, size) == (ssize_t)size;
    if (fd >= 0) {
        is_written = close(fd) == 0 && is_written;
    }
    is_written = is_written && rename(next, path) == 0;
    mem_free(next);
    return is_written ? 0 : err_set(err, E_IO, "write %s: %s", path, strerror(errno));
}

static char *token_new(void)
{
    uint8_t raw[TOKEN_BYTES];
    if (getrandom(raw, sizeof(raw), 0) != (ssize_t)sizeof(raw)) {
        return NULL;
    }
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);
    for (size_t i = 0; i < sizeof(raw); i++) {
        buf_printf(&text, "%02x", raw[i]);
    }
    char *token = str_dup(buf_cstr(&text));
    buf_free(&text);
    return token;
}

/* Gives the token kept in dir, made the first time. */
static int token_load(const char *dir, char **out_token, struct err *err)
{
    char *path = str_printf("%s/token", dir);
    char text[TOKEN_TEXT_MAX] = "";
    FILE *file = fopen(path, "re");
    int rc = 0;
    if (file != NULL) {
        size_t size = fread(text, 1, sizeof(text) - 1, file);
        text[size] = '\0';
        text[strcspn(text, "\n")] = '\0';
        fclose(file);
    }
    char *token = *text != '\0' ? str_dup(text) : token_new();
    if (token == NULL) {
        rc = err_set(err, E_IO, "no random numbers");
    } else if (*text == '\0') {
        rc = write_file(path, token, err);
    }
    mem_free(path);
    if (rc != 0) {
        mem_free(token);
        return rc;
    }
    *out_token = token;
    return 0;
}

/* Gives the absolute name of the folder below which volumes lie. */
static char *volumes_folder(const char *dir)
{
    char *absolute = realpath(dir, NULL);
    char *folder = str_printf("%s/volumes", absolute != NULL ? absolute : dir);
    free(absolute);
    return folder;
}

static void register_all_crds(struct store *store)
{
    struct table *crds =
        objects_table(&store->objects, "customresourcedefinitions.apiextensions.k8s.io");
    for (size_t i = 0; i < crds->count; i++) {
        crd_register(store, crds->rows[i]->value);
    }
}

static int faults_from_environment(struct faults *faults, struct err *err)
{
    const char *text = getenv("QUORATE_PLAYGROUND_FAULTS");
    if (text == NULL || *text == '\0') {
        return 0;
    }
    struct json *wanted = json_parse(text, strlen(text), err);
    int rc = wanted == NULL ? E_INVALID : faults_set(faults, wanted, err);
    json_free(wanted);
    return rc == 0 ? 0 : err_wrap(err, rc, "QUORATE_PLAYGROUND_FAULTS");
}

static int server_open(struct apiserver *server, const struct apiserver_config *config,
                       struct err *err)
{
    int rc = faults_from_environment(&server->faults, err);
    if (rc == 0) {
        rc = persist_open(config->dir, &server->store.objects, &server->persist, err);
    }
    if (rc == 0 && config->token != NULL) {
        server->token = str_dup(config->token);
    } else if (rc == 0) {
        rc = token_load(config->dir, &server->token, err);
    }
    if (rc == 0) {
        rc = tls_open(config->dir, &server->tls, err);
    }
    if (rc == 0) {
        rc = http_listen(config->port, server->tls, router_handle, server, &server->http, err);
    }
    return rc;
}

int apiserver_start(const struct apiserver_config *config, struct apiserver **out_server,
                    struct err *err)
{
    struct apiserver *server = mem_zalloc(sizeof(*server));
    objects_init(&server->store.objects);
    kinds_init(&server->store.kinds);
    faults_init(&server->faults);
    pthread_mutex_init(&server->extension_lock, NULL);
    server->dir = str_dup(config->dir);
    objects_lock(&server->store.objects);
    int rc = server_open(server, config, err);
    if (rc == 0) {
        server->port = http_port(server->http);
        server->store.volumes_dir = volumes_folder(config->dir);
        register_all_crds(&server->store);
        bootstrap_objects(&server->store, server->port);
    }
    objects_unlock(&server->store.objects);
    if (rc == 0) {
        server->has_controllers =
            pthread_create(&server->controllers, NULL, controllers_main, server) == 0;
        rc = server->has_controllers ? 0 : err_set(err, E_UNAVAILABLE, "cannot start a thread");
    }
    if (rc != 0) {
        apiserver_stop(server);
        apiserver_free(server);
        return rc;
    }
    *out_server = server;
    return 0;
}

struct store *apiserver_store(struct apiserver *server)
{
    return &server->store;
}

uint16_t apiserver_port(const struct apiserver *server)
{
    return server->port;
}

const char *apiserver_token(const struct apiserver *server)
{
    return server->token;
}

void apiserver_set_logs(struct apiserver *server, const struct pod_logs *logs)
{
    objects_lock(&server->store.objects);
    server->has_logs = logs != NULL;
    if (logs != NULL) {
        server->logs = *logs;
    }
    while (logs == NULL && server->log_streams > 0) {
        pthread_cond_wait(&server->store.objects.changed, &server->store.objects.lock);
    }
    objects_unlock(&server->store.objects);
}

void apiserver_set_extension(struct apiserver *server, apiserver_extension_fn extension, void *ctx)
{
    pthread_mutex_lock(&server->extension_lock);
    server->extension = extension;
    server->extension_ctx = ctx;
    pthread_mutex_unlock(&server->extension_lock);
}

void apiserver_stop(struct apiserver *server)
{
    if (server->is_stopped) {
        return;
    }
    server->is_stopped = true;
    objects_close(&server->store.objects);
    if (server->http != NULL) {
        http_stop(server->http);
    }
    if (server->has_controllers) {
        pthread_join(server->controllers, NULL);
    }
    if (server->persist != NULL) {
        persist_close(server->persist);
    }
}

void apiserver_free(struct apiserver *server)
{
    ASSERT(server->is_stopped);
    objects_free(&server->store.objects);
    kinds_free(&server->store.kinds);
    faults_free(&server->faults);
    pthread_mutex_destroy(&server->extension_lock);
    SSL_CTX_free(server->tls);
    mem_free(server->store.volumes_dir);
    mem_free(server->dir);
    mem_free(server->token);
    mem_free(server);
}

int apiserver_write_kubeconfig(const struct apiserver *server, const char *path, struct err *err)
{
    char *pem;
    int rc = tls_certificate_pem(server->tls, &pem, err);
    if (rc != 0) {
        return rc;
    }
    char *ca = base64_text(bytes_of_str(pem));
    char *text = str_printf("apiVersion: v1\n"
                            "kind: Config\n"
                            "clusters:\n"
                            "- name: playground\n"
                            "  cluster:\n"
                            "    server: https://127.0.0.1:%u\n"
                            "    certificate-authority-data: %s\n"
                            "users:\n"
                            "- name: playground\n"
                            "  user:\n"
                            "    token: %s\n"
                            "contexts:\n"
                            "- name: playground\n"
                            "  context:\n"
                            "    cluster: playground\n"
                            "    user: playground\n"
                            "    namespace: default\n"
                            "current-context: playground\n",
                            server->port, ca, server->token);
    rc = write_file(path, text, err);
    mem_free(text);
    mem_free(ca);
    mem_free(pem);
    return rc;
}
