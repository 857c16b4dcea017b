/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the API server is and who we are: from a kubeconfig file, or from what Kubernetes puts into
 * a Pod. TLS verification is off only where the kubeconfig says insecure-skip-tls-verify itself.
 */
#ifndef CONTROLLER_KUBE_CONFIG_H
#define CONTROLLER_KUBE_CONFIG_H

#include "base/defs.h"
#include "base/err.h"
#include "controller/http/http.h"

#define KUBE_CONFIG_BYTES_MAX (1024u * 1024u)
#define KUBE_TOKEN_REREAD_MS  60000u
#define KUBE_IN_CLUSTER_DIR   "/var/run/secrets/kubernetes.io/serviceaccount"

/* Owns its strings; NULL where nothing was said. */
struct kube_config {
    char *server; /* without trailing slash */
    char *ca_pem;
    char *cert_pem;
    char *key_pem;
    char *token;
    char *token_file; /* read again every KUBE_TOKEN_REREAD_MS */
    char *namespace_; /* of the context or of the Pod; "default" when not said */
    bool insecure;
};

/* Reads the file at path, its current-context or the one named by context (NULL: current). */
BASE_MUST_CHECK int kube_config_load(const char *path, const char *context,
                                     struct kube_config **out_config, struct err *err);

/* As kube_config_load for text in memory; relative file names are taken from dir. */
BASE_MUST_CHECK int kube_config_parse(const char *text, size_t size, const char *dir,
                                      const char *context, struct kube_config **out_config,
                                      struct err *err);

/* From KUBERNETES_SERVICE_HOST and _PORT and the service account files in dir. */
BASE_MUST_CHECK int kube_config_in_cluster(const char *host, const char *port, const char *dir,
                                           struct kube_config **out_config, struct err *err);

/* Reads token_file again; an unreadable file leaves the token as it is. */
void kube_config_reread_token(struct kube_config *config);

/* Borrows the PEM texts of config. */
struct http_tls kube_config_tls(const struct kube_config *config);

void kube_config_free(struct kube_config *config);

#endif
