/* SPDX-License-Identifier: Apache-2.0 */
/* Kubeconfig files (YAML, read through base/yaml.h) and the in-cluster configuration. */
#include "controller/kube/config.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "base/json.h"
#include "base/yaml.h"
#include "controller/kube/file.h"

#define PEM_BYTES_MAX   (256u * 1024u)
#define TOKEN_BYTES_MAX (64u * 1024u)

static void text_trim(char *text)
{
    size_t size = strlen(text);
    while (size > 0 && strchr(" \t\r\n", text[size - 1]) != NULL) {
        text[--size] = 0;
    }
}

/* The element of list whose "name" is name. */
static const struct json *named(const struct json *list, const char *name)
{
    for (size_t i = 0; i < json_count(list); i++) {
        const struct json *item = json_at(list, i);
        if (str_equal(json_str(json_get(item, "name"), NULL), name)) {
            return item;
        }
    }
    return NULL;
}

/* Gives the decoded text; a file written by hand may hold blanks and line ends anywhere. */
static int data_decode(const char *text, const char *what, char **out_text, struct err *err)
{
    struct buf clean;
    struct buf data;
    buf_init(&clean, BUF_NO_LIMIT);
    buf_init(&data, BUF_NO_LIMIT);
    for (; *text != 0; text++) {
        if (strchr(" \t\r\n", *text) == NULL) {
            buf_append_byte(&clean, (uint8_t)*text);
        }
    }
    int rc = base64_append_decoded(buf_bytes(&clean), BASE64_PADDED, &data)
                 ? 0
                 : err_set(err, E_INVALID, "%s is not base64", what);
    if (rc == 0) {
        *out_text = str_from(data.data, data.size);
    }
    buf_free(&clean);
    buf_free(&data);
    return rc;
}

/* Reads "<key>-data" (base64) or the file named by "<key>"; leaves *out_pem when neither is there.
 */
static int pem_load(const struct json *from, const char *key, const char *dir, char **out_pem,
                    struct err *err)
{
    char *data_key = str_printf("%s-data", key);
    const char *data = json_str(json_get(from, data_key), "");
    const char *file = json_str(json_get(from, key), "");
    int rc = 0;
    if (data[0] != 0) {
        rc = data_decode(data, data_key, out_pem, err);
    } else if (file[0] != 0) {
        char *path = file[0] == '/' ? str_dup(file) : str_printf("%s/%s", dir, file);
        size_t size = 0;
        rc = kube_file_read(path, PEM_BYTES_MAX, out_pem, &size, err);
        if (rc != 0) {
            err_wrap(err, rc, "%s", key);
        }
        mem_free(path);
    }
    mem_free(data_key);
    return rc;
}

static int cluster_read(const struct json *cluster, const char *dir, struct kube_config *config,
                        struct err *err)
{
    const char *server = json_str(json_get(cluster, "server"), "");
    if (!str_starts_with(server, "https://") && !str_starts_with(server, "http://")) {
        return err_set(err, E_INVALID, "server \"%s\" is no http(s) address", server);
    }
    size_t size = strlen(server);
    while (size > 0 && server[size - 1] == '/') {
        size--;
    }
    config->server = str_from(server, size);
    config->insecure = json_truth(json_get(cluster, "insecure-skip-tls-verify"), false);
    if (json_get(cluster, "tls-server-name") != NULL) {
        return err_set(err, E_UNSUPPORTED, "tls-server-name is not supported");
    }
    return pem_load(cluster, "certificate-authority", dir, &config->ca_pem, err);
}

static int user_read(const struct json *user, const char *dir, struct kube_config *config,
                     struct err *err)
{
    static const char *const UNSUPPORTED[] = {"exec", "auth-provider", "username", "as"};
    for (size_t i = 0; i < ARRAY_COUNT(UNSUPPORTED); i++) {
        if (json_get(user, UNSUPPORTED[i]) != NULL) {
            return err_set(err, E_UNSUPPORTED, "user field %s is not supported", UNSUPPORTED[i]);
        }
    }
    int rc = pem_load(user, "client-certificate", dir, &config->cert_pem, err);
    if (rc == 0) {
        rc = pem_load(user, "client-key", dir, &config->key_pem, err);
    }
    if (rc != 0) {
        return rc;
    }
    if ((config->cert_pem == NULL) != (config->key_pem == NULL)) {
        return err_set(err, E_INVALID, "client-certificate and client-key go together");
    }
    config->token = str_dup(json_str(json_get(user, "token"), NULL));
    const char *file = json_str(json_get(user, "tokenFile"), "");
    if (file[0] != 0) {
        config->token_file = file[0] == '/' ? str_dup(file) : str_printf("%s/%s", dir, file);
        kube_config_reread_token(config);
    }
    return 0;
}

static int tree_read(const struct json *root, const char *dir, const char *context,
                     struct kube_config *config, struct err *err)
{
    const char *chosen =
        context != NULL ? context : json_str(json_get(root, "current-context"), "");
    if (chosen[0] == 0) {
        return err_set(err, E_INVALID, "no current-context");
    }
    const struct json *entry = json_get(named(json_get(root, "contexts"), chosen), "context");
    if (entry == NULL) {
        return err_set(err, E_INVALID, "context \"%s\" is not defined", chosen);
    }
    const char *cluster_name = json_str(json_get(entry, "cluster"), "");
    const struct json *cluster =
        json_get(named(json_get(root, "clusters"), cluster_name), "cluster");
    if (cluster == NULL) {
        return err_set(err, E_INVALID, "cluster \"%s\" is not defined", cluster_name);
    }
    config->namespace_ = str_dup(json_str(json_get(entry, "namespace"), "default"));
    int rc = cluster_read(cluster, dir, config, err);
    if (rc != 0) {
        return err_wrap(err, rc, "cluster \"%s\"", cluster_name);
    }
    const char *user_name = json_str(json_get(entry, "user"), "");
    if (user_name[0] == 0) {
        return 0;
    }
    const struct json *user = named(json_get(root, "users"), user_name);
    if (user == NULL) {
        return err_set(err, E_INVALID, "user \"%s\" is not defined", user_name);
    }
    rc = user_read(json_get(user, "user"), dir, config, err);
    return rc == 0 ? 0 : err_wrap(err, rc, "user \"%s\"", user_name);
}

int kube_config_parse(const char *text, size_t size, const char *dir, const char *context,
                      struct kube_config **out_config, struct err *err)
{
    struct json *root = json_parse_yaml(text, size, err);
    if (root == NULL) {
        return err_wrap(err, E_INVALID, "kubeconfig");
    }
    struct kube_config *config = mem_zalloc(sizeof(*config));
    int rc = tree_read(root, dir, context, config, err);
    json_free(root);
    if (rc != 0) {
        kube_config_free(config);
        return err_wrap(err, rc, "kubeconfig");
    }
    *out_config = config;
    return 0;
}

int kube_config_load(const char *path, const char *context, struct kube_config **out_config,
                     struct err *err)
{
    char *text = NULL;
    size_t size = 0;
    int rc = kube_file_read(path, KUBE_CONFIG_BYTES_MAX, &text, &size, err);
    if (rc != 0) {
        return rc;
    }
    const char *slash = strrchr(path, '/');
    char *dir = slash == NULL ? str_dup(".") : str_from(path, (size_t)(slash - path) + 1);
    rc = kube_config_parse(text, size, dir, context, out_config, err);
    mem_free(dir);
    mem_free(text);
    return rc == 0 ? 0 : err_wrap(err, rc, "%s", path);
}

int kube_config_in_cluster(const char *host, const char *port, const char *dir,
                           struct kube_config **out_config, struct err *err)
{
    if (host == NULL || host[0] == 0 || port == NULL || port[0] == 0) {
        return err_set(err, E_NOT_FOUND,
                       "not in a cluster: KUBERNETES_SERVICE_HOST and _PORT are not set");
    }
    struct kube_config *config = mem_zalloc(sizeof(*config));
    bool is_v6 = strchr(host, ':') != NULL;
    config->server = str_printf(is_v6 ? "https://[%s]:%s" : "https://%s:%s", host, port);
    config->token_file = str_printf("%s/token", dir);
    char *ca_path = str_printf("%s/ca.crt", dir);
    char *namespace_path = str_printf("%s/namespace", dir);
    size_t size = 0;
    int rc = kube_file_read(ca_path, PEM_BYTES_MAX, &config->ca_pem, &size, err);
    if (rc == 0) {
        rc = kube_file_read(config->token_file, TOKEN_BYTES_MAX, &config->token, &size, err);
    }
    if (rc == 0) {
        text_trim(config->token);
        if (kube_file_read(namespace_path, 256, &config->namespace_, &size, NULL) != 0) {
            config->namespace_ = str_dup("default");
        }
        text_trim(config->namespace_);
    }
    mem_free(ca_path);
    mem_free(namespace_path);
    if (rc != 0) {
        kube_config_free(config);
        return err_wrap(err, rc, "in-cluster configuration");
    }
    *out_config = config;
    return 0;
}

void kube_config_reread_token(struct kube_config *config)
{
    char *text = NULL;
    size_t size = 0;
    if (config->token_file == NULL ||
        kube_file_read(config->token_file, TOKEN_BYTES_MAX, &text, &size, NULL) != 0) {
        return;
    }
    text_trim(text);
    if (config->token != NULL) {
        OPENSSL_cleanse(config->token, strlen(config->token));
    }
    mem_free(config->token);
    config->token = text;
}

struct http_tls kube_config_tls(const struct kube_config *config)
{
    return (struct http_tls){.ca_pem = config->ca_pem,
                             .cert_pem = config->cert_pem,
                             .key_pem = config->key_pem,
                             .insecure = config->insecure};
}

static void secret_free(char *text)
{
    if (text != NULL) {
        OPENSSL_cleanse(text, strlen(text));
    }
    mem_free(text);
}

void kube_config_free(struct kube_config *config)
{
    if (config == NULL) {
        return;
    }
    mem_free(config->server);
    mem_free(config->ca_pem);
    mem_free(config->cert_pem);
    secret_free(config->key_pem);
    secret_free(config->token);
    mem_free(config->token_file);
    mem_free(config->namespace_);
    mem_free(config);
}
