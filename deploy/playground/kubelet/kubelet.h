/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kubelets, the scheduler and the controllers of Deployments and Jobs of the playground: Pods
 * of the API server run as processes of this machine, on nodes that exist in name only and can be
 * lost.
 *
 * What differs from a real node: images are local programs (a table); processes run as the user of
 * the playground in folders of their own; mount paths and 0.0.0.0/127.0.0.1 in command, args and
 * env are rewritten (rewrite.h); each Pod has two loopback addresses; Services have no cluster IP,
 * their names give the Pods' addresses (hosts.h); limits and securityContext have no effect; all
 * service accounts have the one token there is; Deployments own their Pods without ReplicaSets.
 */
#ifndef PLAYGROUND_KUBELET_KUBELET_H
#define PLAYGROUND_KUBELET_KUBELET_H

#include "base/err.h"
#include "base/json.h"
#include "deploy/playground/apiserver/server.h"

#define KUBELET_NODES_MAX 100u

struct kubelet;

struct kubelet_config {
    const char *dir;     /* of the playground, absolute; Pods live in DIR/pods, the names in
                            DIR/hosts */
    struct store *store; /* borrowed until kubelet_stop */
    uint16_t api_port;   /* for KUBERNETES_SERVICE_PORT in Pods */
    uint32_t node_count;
    const char *const *images; /* NAME=PROGRAM, borrowed until kubelet_stop; later rows win */
    size_t image_count;
};

/*
 * Makes dir and takes it for this process: a second playground there would end the first one's
 * processes as orphans and write over its state. E_IN_USE; gives *out_fd, which holds the claim
 * until it is closed. Before anything else touches dir.
 */
BASE_MUST_CHECK int kubelet_claim_dir(const char *dir, int *out_fd, struct err *err);

/*
 * Ends what an earlier playground left behind in dir, makes the Node objects, starts the thread.
 * E_PERMISSION with advice when private mount namespaces cannot be had.
 */
BASE_MUST_CHECK int kubelet_start(const struct kubelet_config *config, struct kubelet **out_kubelet,
                                  struct err *err);

/* Stops all Pods' processes (SIGTERM, then SIGKILL), the thread, and frees. Before apiserver_stop.
 */
void kubelet_stop(struct kubelet *kubelet);

/* Where `kubectl logs` reads; valid until kubelet_stop. */
struct pod_logs kubelet_logs(struct kubelet *kubelet);

/*
 * Requests to the playground itself, from any thread:
 *   POST /playground/nodes/NAME/lose      the node stops answering; its processes are killed
 *   POST /playground/nodes/NAME/back      it is there again
 *   POST /playground/pods/NS/NAME/kill    kills the processes; the kubelet starts them again
 *   POST /playground/pods/NS/NAME/destroy kills them and loses the Pod's volumes for good
 * Gives an HTTP status and *out_answer (json_free), or 0 when path is none of these.
 */
int kubelet_request(struct kubelet *kubelet, const char *method, const char *path,
                    struct json **out_answer);

#endif
