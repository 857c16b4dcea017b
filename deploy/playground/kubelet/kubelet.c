/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that does it all: looks at the store, steps every Pod, keeps the hosts file. */
#include "kubelet.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/seam/clock.h"
#include "deploy/playground/apiserver/meta.h"
#include "files.h"
#include "hosts.h"
#include "process.h"
#include "state.h"

#define TICK_MS         30
#define STOP_STEP_MS    20
#define WORKLOADS_MS    1000
#define HOSTS_BYTES_MAX (1024u * 1024u)
#define NSSWITCH        "hosts: files\npasswd: files\ngroup: files\n"

static const char *const DEFAULT_IMAGES[] = {"quorate", "quorate-operator", "quoratectl"};

uint64_t kubelet_now_ms(void)
{
    return clock_monotonic_ms(clock_posix());
}

static struct pod *find_pod(const struct kubelet *kubelet, const char *uid)
{
    for (struct pod *pod = kubelet->pods; pod != NULL; pod = pod->next) {
        if (strcmp(pod->uid, uid) == 0) {
            return pod;
        }
    }
    return NULL;
}

static bool is_on_our_node(const struct kubelet *kubelet, const struct json *pod)
{
    const char *name = json_path_str(pod, "spec.nodeName", "");
    const struct json *node = *name == '\0' ? NULL : mirror_find(&kubelet->nodes, "", name);
    return json_get(json_path(node, "metadata.labels"), NODE_LABEL) != NULL;
}

static void see_pod(struct kubelet *kubelet, const struct json *object)
{
    struct pod *pod = find_pod(kubelet, meta_uid_of(object));
    if (pod != NULL) {
        if (!str_equal(json_path_str(pod->object, "metadata.resourceVersion", ""),
                       json_path_str(object, "metadata.resourceVersion", "-"))) {
            json_free(pod->object);
            pod->object = json_copy(object);
        }
    } else if (is_on_our_node(kubelet, object)) {
        pod = pod_new(kubelet, object);
        pod->next = kubelet->pods;
        kubelet->pods = pod;
    }
}

static void see_pods(struct kubelet *kubelet)
{
    for (size_t i = 0; i < kubelet->pods_seen.count; i++) {
        see_pod(kubelet, kubelet->pods_seen.items[i]);
    }
    for (struct pod *pod = kubelet->pods; pod != NULL; pod = pod->next) {
        const struct json *object = mirror_find(&kubelet->pods_seen, pod->ns, pod->name);
        pod->is_gone = object == NULL || strcmp(meta_uid_of(object), pod->uid) != 0;
    }
}

static void step_pods(struct kubelet *kubelet)
{
    uint64_t now_ms = kubelet_now_ms();
    struct pod **link = &kubelet->pods;
    while (*link != NULL) {
        struct pod *pod = *link;
        pod_step(kubelet, pod, now_ms);
        if (pod->is_gone && !pod_is_alive(pod)) {
            *link = pod->next;
            files_remove_tree(pod->dir);
            pod_free(pod);
        } else {
            link = &pod->next;
        }
    }
}

static void write_hosts(struct kubelet *kubelet)
{
    struct hosts_input input = {
        .machine = kubelet->machine_hosts,
        .nodes = mirror_items(&kubelet->nodes),
        .node_count = kubelet->nodes.count,
        .services = mirror_items(&kubelet->services),
        .service_count = kubelet->services.count,
        .pods = mirror_items(&kubelet->pods_seen),
        .pod_count = kubelet->pods_seen.count,
    };
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);
    hosts_write(&input, &text);
    char *path = str_printf("%s/hosts", kubelet->dir);
    char *old = files_read_text(path, HOSTS_BYTES_MAX);
    if (!str_equal(old, buf_cstr(&text)) && !files_write_in_place(path, text.data, text.size)) {
        LOG_ERROR("cannot write the hosts file", LOG_STR("path", path));
    }
    mem_free(old);
    mem_free(path);
    buf_free(&text);
}

/* False when the store is closing. */
static bool look(struct kubelet *kubelet)
{
    return mirror_poll(&kubelet->nodes, 0, NULL, NULL) &&
           mirror_poll(&kubelet->services, 0, NULL, NULL) &&
           mirror_poll(&kubelet->secrets, 0, NULL, NULL) &&
           mirror_poll(&kubelet->config_maps, 0, NULL, NULL) &&
           mirror_poll(&kubelet->claims, 0, NULL, NULL) &&
           mirror_poll(&kubelet->volumes, 0, volumes_on_gone, kubelet) &&
           mirror_poll(&kubelet->deployments, 0, NULL, NULL) &&
           mirror_poll(&kubelet->jobs, 0, NULL, NULL) &&
           mirror_poll(&kubelet->pods_seen, 0, NULL, NULL);
}

/* After changes, and once a while for what waits; its own writes are seen first by the next look.
 */
static void step_workloads(struct kubelet *kubelet)
{
    uint64_t changes =
        kubelet->pods_seen.changes + kubelet->deployments.changes + kubelet->jobs.changes;
    uint64_t now_ms = kubelet_now_ms();
    if (changes != kubelet->workload_changes || now_ms >= kubelet->workload_next_ms) {
        kubelet->workload_changes = changes;
        kubelet->workload_next_ms = now_ms + WORKLOADS_MS;
        workloads_step(kubelet);
    }
}

/* Does what changes ask for; false when the store is closing. */
static bool tick(struct kubelet *kubelet)
{
    if (!look(kubelet)) {
        return false;
    }
    step_workloads(kubelet);
    uint64_t placement =
        kubelet->pods_seen.changes + kubelet->nodes.changes + kubelet->claims.changes;
    while (placement != kubelet->schedule_changes) {
        kubelet->schedule_changes = placement;
        if (scheduler_step(kubelet)) {
            if (!look(kubelet)) {
                return false;
            }
            placement =
                kubelet->pods_seen.changes + kubelet->nodes.changes + kubelet->claims.changes;
        }
    }
    see_pods(kubelet);
    nodes_step(kubelet);
    uint64_t names =
        kubelet->pods_seen.changes + kubelet->nodes.changes + kubelet->services.changes;
    if (names != kubelet->hosts_changes) {
        kubelet->hosts_changes = names;
        write_hosts(kubelet);
    }
    uint64_t files = kubelet->secrets.changes + kubelet->config_maps.changes;
    if (files != kubelet->files_changes) {
        kubelet->files_changes = files;
        for (struct pod *pod = kubelet->pods; pod != NULL; pod = pod->next) {
            volumes_refresh(kubelet, pod);
        }
    }
    step_pods(kubelet);
    return true;
}

static bool reap_all(struct kubelet *kubelet, uint64_t now_ms)
{
    bool any = false;
    for (struct pod *pod = kubelet->pods; pod != NULL; pod = pod->next) {
        pod->is_stopping = true;
        for (size_t i = 0; i < pod->container_count; i++) {
            container_reap(kubelet, pod, &pod->containers[i], now_ms);
        }
        any = any || pod_is_alive(pod);
    }
    return any;
}

/* The playground ends: all processes do, what the store says of them stays. */
static void stop_pods(struct kubelet *kubelet)
{
    uint64_t kill_at_ms = 0;
    for (struct pod *pod = kubelet->pods; pod != NULL; pod = pod->next) {
        for (size_t i = 0; i < pod->container_count; i++) {
            container_drop_probes(&pod->containers[i]);
            if (pod->containers[i].pid != 0) {
                process_signal(pod->containers[i].pid, SIGTERM);
            }
        }
        kill_at_ms = BASE_MAX(kill_at_ms, BASE_MIN(pod_grace_ms(pod), STOP_GRACE_MAX_MS));
    }
    kill_at_ms += kubelet_now_ms();
    while (reap_all(kubelet, kubelet_now_ms())) {
        for (struct pod *pod = kubelet->pods; pod != NULL && kubelet_now_ms() >= kill_at_ms;
             pod = pod->next) {
            pod_kill(pod);
        }
        struct timespec step = {.tv_nsec = STOP_STEP_MS * 1000000L};
        nanosleep(&step, NULL);
    }
}

static void *thread_main(void *arg)
{
    struct kubelet *kubelet = arg;
    pthread_mutex_lock(&kubelet->lock);
    while (!kubelet->is_closing && tick(kubelet)) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += TICK_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&kubelet->wake, &kubelet->lock, &until);
    }
    stop_pods(kubelet);
    pthread_mutex_unlock(&kubelet->lock);
    return NULL;
}

static void end_orphan(void *ctx, const char *path)
{
    (void)ctx;
    if (process_end_orphan(path)) {
        LOG_WARN("ended a process of an earlier playground", LOG_STR("note", path));
    }
}

static void make_images(struct kubelet *kubelet, const struct kubelet_config *config)
{
    char self[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[size > 0 ? size : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash != NULL) {
        *slash = '\0';
    }
    kubelet->images =
        mem_array(ARRAY_COUNT(DEFAULT_IMAGES) + config->image_count + 1, sizeof(char *));
    for (size_t i = 0; i < ARRAY_COUNT(DEFAULT_IMAGES); i++) {
        kubelet->images[kubelet->image_count++] =
            str_printf("%s=%s/%s", DEFAULT_IMAGES[i], self, DEFAULT_IMAGES[i]);
    }
    for (size_t i = 0; i < config->image_count; i++) {
        kubelet->images[kubelet->image_count++] = str_dup(config->images[i]);
    }
}

/* Makes the folder's files; processes see these as /etc/hosts and /etc/nsswitch.conf. */
static int make_files(struct kubelet *kubelet, struct err *err)
{
    char *pods = str_printf("%s/pods", kubelet->dir);
    char *hosts = str_printf("%s/hosts", kubelet->dir);
    char *nsswitch = str_printf("%s/nsswitch.conf", kubelet->dir);
    files_make_dirs(pods);
    files_each(pods, ".pid", end_orphan, NULL);
    kubelet->machine_hosts = files_read_text("/etc/hosts", HOSTS_BYTES_MAX);
    if (kubelet->machine_hosts == NULL) {
        kubelet->machine_hosts = str_dup("127.0.0.1\tlocalhost\n");
    }
    bool ok = files_write_in_place(hosts, kubelet->machine_hosts, strlen(kubelet->machine_hosts)) &&
              files_write_in_place(nsswitch, NSSWITCH, strlen(NSSWITCH));
    mem_free(pods);
    mem_free(hosts);
    mem_free(nsswitch);
    return ok ? 0 : err_set(err, E_IO, "cannot write to %s: %s", kubelet->dir, strerror(errno));
}

/* Where control.c finds the server. */
static void note_port(const struct kubelet *kubelet)
{
    char *path = str_printf("%s/port", kubelet->dir);
    char *text = str_printf("%u\n", kubelet->config.api_port);
    files_write(path, text, strlen(text), 0600);
    mem_free(text);
    mem_free(path);
}

static int open_mirrors(struct kubelet *kubelet, struct err *err)
{
    const struct {
        struct mirror *mirror;
        const char *resource;
    } rows[] = {{&kubelet->nodes, "nodes"},
                {&kubelet->services, "services"},
                {&kubelet->secrets, "secrets"},
                {&kubelet->config_maps, "configmaps"},
                {&kubelet->claims, "persistentvolumeclaims"},
                {&kubelet->volumes, "persistentvolumes"},
                {&kubelet->deployments, "deployments.apps"},
                {&kubelet->jobs, "jobs.batch"},
                {&kubelet->pods_seen, "pods"}};
    int rc = 0;
    for (size_t i = 0; i < ARRAY_COUNT(rows) && rc == 0; i++) {
        rc = mirror_open(rows[i].mirror, kubelet->config.store, rows[i].resource, err);
    }
    return rc;
}

static void free_all(struct kubelet *kubelet)
{
    while (kubelet->pods != NULL) {
        struct pod *next = kubelet->pods->next;
        pod_free(kubelet->pods);
        kubelet->pods = next;
    }
    struct mirror *mirrors[] = {&kubelet->nodes,       &kubelet->services,    &kubelet->secrets,
                                &kubelet->config_maps, &kubelet->claims,      &kubelet->volumes,
                                &kubelet->pods_seen,   &kubelet->deployments, &kubelet->jobs};
    for (size_t i = 0; i < ARRAY_COUNT(mirrors); i++) {
        mirror_close(mirrors[i]);
    }
    for (size_t i = 0; i < kubelet->image_count; i++) {
        mem_free(kubelet->images[i]);
    }
    mem_free(kubelet->images);
    mem_free(kubelet->machine_hosts);
    mem_free(kubelet->volumes_dir);
    mem_free(kubelet->dir);
    pthread_cond_destroy(&kubelet->wake);
    pthread_mutex_destroy(&kubelet->lock);
    mem_free(kubelet);
}

int kubelet_claim_dir(const char *dir, int *out_fd, struct err *err)
{
    files_make_dirs(dir);
    char *path = str_printf("%s/lock", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    mem_free(path);
    if (fd < 0) {
        return err_set(err, err_from_errno(errno), "cannot write to %s: %s", dir, strerror(errno));
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        return err_set(err, E_IN_USE, "another playground runs in %s", dir);
    }
    *out_fd = fd;
    return 0;
}

int kubelet_start(const struct kubelet_config *config, struct kubelet **out_kubelet,
                  struct err *err)
{
    struct kubelet *kubelet = mem_zalloc(sizeof(*kubelet));
    kubelet->config = *config;
    kubelet->dir = realpath(config->dir, NULL);
    pthread_mutex_init(&kubelet->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&kubelet->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    int rc = kubelet->dir == NULL ? err_set(err, E_NOT_FOUND, "no folder %s", config->dir) : 0;
    if (rc == 0) {
        kubelet->volumes_dir = str_printf("%s/volumes", kubelet->dir);
        make_images(kubelet, config);
        addresses_init(kubelet);
        rc = make_files(kubelet, err);
    }
    if (rc == 0) {
        rc = process_check_names(kubelet->dir, err);
    }
    if (rc == 0) {
        note_port(kubelet);
    }
    if (rc == 0) {
        nodes_make(kubelet);
        rc = open_mirrors(kubelet, err);
    }
    if (rc == 0 && pthread_create(&kubelet->thread, NULL, thread_main, kubelet) != 0) {
        rc = err_set(err, E_IO, "cannot start a thread");
    }
    if (rc != 0) {
        free_all(kubelet);
        return rc;
    }
    *out_kubelet = kubelet;
    return 0;
}

void kubelet_stop(struct kubelet *kubelet)
{
    pthread_mutex_lock(&kubelet->lock);
    kubelet->is_closing = true;
    pthread_cond_signal(&kubelet->wake);
    pthread_mutex_unlock(&kubelet->lock);
    pthread_join(kubelet->thread, NULL);
    free_all(kubelet);
}
