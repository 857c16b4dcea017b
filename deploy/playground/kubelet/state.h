/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the kubelet, shared by its files. All of it belongs to the holder of the lock. */
#ifndef PLAYGROUND_KUBELET_STATE_H
#define PLAYGROUND_KUBELET_STATE_H

#include <pthread.h>
#include <sys/types.h>

#include "kubelet.h"
#include "mirror.h"
#include "probe.h"
#include "probe_run.h"
#include "rewrite.h"

#define LOST_ANNOTATION     "playground.quorate.dev/lost"
#define SELECTED_ANNOTATION "volume.kubernetes.io/selected-node"
#define NODE_LABEL          "playground.quorate.dev/node"
#define ADDRESS_SIZE        16u
#define GRACE_DEFAULT_S     30
#define STOP_GRACE_MAX_MS   10000u

enum container_state { CONTAINER_WAITING, CONTAINER_RUNNING, CONTAINER_TERMINATED };
enum probe_kind { PROBE_STARTUP, PROBE_LIVENESS, PROBE_READINESS, PROBE_KINDS };

struct container {
    char *name;
    struct json *spec; /* a copy */
    bool is_init;
    enum container_state state;
    char *waiting_reason;
    char *waiting_message;
    pid_t pid; /* 0 when none */
    uint64_t started_ms;
    char started_at[STORE_TIME_SIZE];
    int64_t restart_count;
    bool was_run; /* at least once */
    uint32_t back_off_count;
    uint64_t next_start_ms;
    struct json *exit;      /* state.terminated of the last life, NULL before the first end */
    struct json *last_exit; /* lastState.terminated */
    struct probe probes[PROBE_KINDS];
    struct probe_run *runs[PROBE_KINDS];
    bool is_started; /* startup probe passed */
    bool is_ready;
    bool is_stopping;
    uint64_t kill_at_ms;
};

struct pod {
    struct pod *next;
    struct json *object; /* newest seen, owned */
    char *uid;
    char *ns;
    char *name;
    char *node;
    char *dir;
    char ip[ADDRESS_SIZE];
    char loopback[ADDRESS_SIZE];
    struct container *containers; /* init containers first */
    size_t container_count;
    size_t init_count;
    char started_at[STORE_TIME_SIZE];
    const char *phase;
    const char *reason; /* of a Failed phase, or NULL */
    bool is_gone;       /* from the store: its processes are being ended */
    bool is_stopping;
    uint64_t kill_at_ms;
    bool has_volumes;             /* folders are made */
    struct rewrite_mount *mounts; /* all volumes, by name: path is the volume's name */
    size_t mount_count;
    uint64_t retry_mount_ms;
    char *mount_error;    /* NULL, or what the volumes wait for */
    struct json *written; /* status as last written, or NULL */
    uint64_t retry_status_ms;
};

struct kubelet {
    struct kubelet_config config;
    char *dir;
    char *volumes_dir;
    char **images; /* the default rows, then the configured ones */
    size_t image_count;
    char *machine_hosts;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool is_closing;
    struct mirror pods_seen;
    struct mirror nodes;
    struct mirror services;
    struct mirror claims;
    struct mirror volumes;
    struct mirror secrets;
    struct mirror config_maps;
    struct mirror deployments;
    struct mirror jobs;
    struct pod *pods;
    uint32_t address_block; /* 127.x.y.0: x and y */
    uint32_t address_next;
    uint64_t hosts_changes; /* sum of changes that the hosts file shows */
    uint64_t schedule_changes;
    uint64_t files_changes;
    uint64_t workload_changes;
    uint64_t workload_next_ms;
};

/* Milliseconds that never go back. */
uint64_t kubelet_now_ms(void);

/* nodes.c: Node objects. */
void nodes_make(struct kubelet *kubelet);
bool nodes_is_lost(const struct kubelet *kubelet, const char *name);
/* Brings conditions and taints in line with the lost mark; marks Pods of a lost node not ready. */
void nodes_step(struct kubelet *kubelet);
int nodes_set_lost(struct kubelet *kubelet, const char *name, bool is_lost, struct err *err);

/* addresses.c: loopback addresses. */
void addresses_init(struct kubelet *kubelet);
/* Block 0 is of nodes, 1 of Pods, 2 of their loopbacks. */
void addresses_format(const struct kubelet *kubelet, uint32_t block, uint32_t host,
                      char out[ADDRESS_SIZE]);
void addresses_give(struct kubelet *kubelet, struct pod *pod);

/* volumes.c: folders of a Pod's volumes. E_AGAIN: not yet, the text says why. */
BASE_MUST_CHECK int volumes_prepare(struct kubelet *kubelet, struct pod *pod, struct err *err);
/* Gives the folder with the Pod's token, CA and namespace (mem_free); NULL: it wants none. */
char *volumes_account(const struct kubelet *kubelet, const struct pod *pod);
/* Writes Secrets, ConfigMaps and such again where they have changed. */
void volumes_refresh(struct kubelet *kubelet, struct pod *pod);
/* Where the Pod's volumes already are: a node's name (borrowed), NULL: anywhere. E_AGAIN with a
 * text while a claim is missing or not bound. */
BASE_MUST_CHECK int volumes_node(const struct kubelet *kubelet, const struct json *pod,
                                 const char **out_node, struct err *err);
/* Notes on the claims of pod that their data is on node. */
void volumes_select_node(struct kubelet *kubelet, const struct json *pod, const char *node);
/* Removes the folder of a PersistentVolume that is gone. */
void volumes_on_gone(void *kubelet, const struct json *volume);
/* Loses the data of all claims of the Pod for good; gives how many. */
size_t volumes_destroy(struct kubelet *kubelet, const struct pod *pod);

/* environment.c: what a container's process gets. */
struct environment {
    char **argv; /* NULL-terminated, owned */
    char **envp;
    char *cwd;
    struct rewrite_mount *mounts;
    size_t mount_count;
};
/* Gives *out; E_NOT_FOUND (reason CreateContainerConfigError) or E_INVALID with a text. */
BASE_MUST_CHECK int environment_make(struct kubelet *kubelet, const struct pod *pod,
                                     const struct container *container, const char *program,
                                     struct environment *out, struct err *err);
/* Replaces argv by the words of a probe's command. */
void environment_set_command(struct environment *environment, const struct pod *pod,
                             const struct json *command);
void environment_free(struct environment *environment);

/* container.c: one container's life. */
void container_init(struct container *container, const struct json *spec, bool is_init,
                    const struct json *old_status);
void container_free(struct container *container);
void container_start(struct kubelet *kubelet, struct pod *pod, struct container *container,
                     uint64_t now_ms);
/* Sees whether the process has ended; true when it has just done so. */
bool container_reap(struct kubelet *kubelet, struct pod *pod, struct container *container,
                    uint64_t now_ms);
/* SIGTERM now, SIGKILL after grace_ms (0: SIGKILL now). */
void container_stop(struct kubelet *kubelet, struct pod *pod, struct container *container,
                    uint64_t now_ms, uint64_t grace_ms);
void container_wait(struct container *container, const char *reason, const char *message);
void container_probe(struct kubelet *kubelet, struct pod *pod, struct container *container,
                     uint64_t now_ms);
void container_drop_probes(struct container *container);

/* Ends the series of lives: no further start. */
void container_finish(struct container *container);

/* pod.c: one Pod's life. */
struct pod *pod_new(struct kubelet *kubelet, const struct json *object);
void pod_free(struct pod *pod);
void pod_step(struct kubelet *kubelet, struct pod *pod, uint64_t now_ms);
bool pod_is_alive(const struct pod *pod); /* some process of it lives */
void pod_kill(struct pod *pod);
uint64_t pod_grace_ms(const struct pod *pod);
void pod_event(struct kubelet *kubelet, const struct pod *pod, const char *type, const char *reason,
               const char *message);

/* status.c: gives the Pod's status (json_free); conditions keep their times. */
struct json *status_make(const struct pod *pod, const char *node_ip);
/* True when the restart policy lets a container run again after exit_code. */
bool status_restarts(const struct pod *pod, const struct container *container, int64_t exit_code);
/* The phase that the containers' states add up to. */
const char *status_phase(const struct pod *pod);
/* The init container that has to run next, or NULL when all are done. */
struct container *status_next_init(const struct pod *pod);

/* scheduler.c: gives Pods their nodes; true when one got it (the mirrors are behind then). */
bool scheduler_step(struct kubelet *kubelet);

/* workloads.c: what the controllers of Deployments and Jobs do. */
void workloads_step(struct kubelet *kubelet);

/* logs.c: gives the path of the log of one life (mem_free). */
char *logs_path(const char *dir, const char *pod_uid, const char *container, int64_t restart_count);

#endif
