/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Pod of one member: the engine with etcd's flags, probes on the plaintext metrics port, and
 * the strictest Pod security there is. It holds no service account token: the engine never calls
 * Kubernetes.
 */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "controller/build/build.h"
#include "controller/build/object.h"
#include "controller/model/certs.h"

#define RUN_AS_ID                 65532
#define TERMINATION_GRACE_SECONDS 30
#define PROBE_TIMEOUT_SECONDS     5
#define STARTUP_PERIOD_SECONDS    2
#define STARTUP_FAILURES          900 /* half an hour: a large log or snapshot is read before it serves */
#define LIVENESS_PERIOD_SECONDS   10
#define LIVENESS_FAILURES         6
#define READINESS_PERIOD_SECONDS  2
#define READINESS_FAILURES        3
#define SECRET_MODE               0440
#define FNV_OFFSET                UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME                 UINT64_C(0x100000001b3)

static void add_flag(struct json *args, const char *format, ...) BASE_PRINTF(2, 3);

static void add_flag(struct json *args, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    char *text = str_vprintf(format, list);
    va_end(list);
    json_append(args, json_string(text));
    mem_free(text);
}

static void add_option_flags(const struct cluster_spec *want, struct json *args)
{
    static const char *const MODES[] = {"periodic", "revision", "periodic"};
    const char *retention = want->options.compaction_mode == SPEC_COMPACTION_OFF
                                ? "0"
                                : want->options.compaction_retention;
    add_flag(args, "--quota-backend-bytes=%" PRId64, want->options.quota_backend_bytes);
    add_flag(args, "--auto-compaction-mode=%s", MODES[want->options.compaction_mode]);
    add_flag(args, "--auto-compaction-retention=%s", retention);
    add_flag(args, "--snapshot-count=%" PRId64, want->options.snapshot_count);
    add_flag(args, "--max-request-bytes=%" PRId64, want->options.max_request_bytes);
    add_flag(args, "--max-txn-ops=%" PRId64, want->options.max_txn_ops);
}

/* The files are those of Secrets: the kubelet replaces them, and the engine reads them again. */
static void add_tls_flags(const struct cluster_spec *want, struct json *args)
{
    if (!certs_are_wanted(want)) {
        return;
    }
    add_flag(args, "--cert-file=" BUILD_SERVER_DIR "/tls.crt");
    add_flag(args, "--key-file=" BUILD_SERVER_DIR "/tls.key");
    add_flag(args, "--trusted-ca-file=" BUILD_SERVER_DIR "/ca.crt");
    add_flag(args, "--client-cert-auth=true");
    add_flag(args, "--peer-cert-file=" BUILD_PEER_DIR "/tls.crt");
    add_flag(args, "--peer-key-file=" BUILD_PEER_DIR "/tls.key");
    add_flag(args, "--peer-trusted-ca-file=" BUILD_PEER_DIR "/ca.crt");
    add_flag(args, "--peer-client-cert-auth=true");
    /* Who shows a certificate of the peer authority is a member of this cluster; that a Pod's
     * address is not in DNS yet, or still stands for another Pod, must not keep it out. */
    add_flag(args, "--peer-skip-client-san-verification=true");
}

static struct json *command_args(const struct cluster_spec *want, const struct build_pod *pod)
{
    struct json *args = json_array();
    struct name peer = names_peer_url(spec_scheme(want), pod->member, want->name, want->ns);
    struct name client = names_client_url(spec_scheme(want), pod->member, want->name, want->ns);
    add_flag(args, "--name=%s", pod->member);
    add_flag(args, "--data-dir=%s", BUILD_DATA_DIR);
    const char *scheme = certs_are_wanted(want) ? "https" : "http";
    add_flag(args, "--listen-peer-urls=%s://0.0.0.0:%d", scheme, PORT_PEER);
    add_flag(args, "--listen-client-urls=%s://0.0.0.0:%d", scheme, PORT_CLIENT);
    add_flag(args, "--listen-metrics-urls=http://0.0.0.0:%d", PORT_METRICS);
    add_flag(args, "--initial-advertise-peer-urls=%s", peer.text);
    add_flag(args, "--advertise-client-urls=%s", client.text);
    add_flag(args, "--initial-cluster=%s", pod->initial_cluster);
    add_flag(args, "--initial-cluster-state=%s", pod->initial_state);
    add_flag(args, "--initial-cluster-token=%s", pod->cluster_token);
    add_tls_flags(want, args);
    add_option_flags(want, args);
    return args;
}

static struct json *probe(const char *path, int64_t period_seconds, int64_t failures)
{
    struct json *object = json_object();
    struct json *get = json_ensure_object(object, "httpGet");
    json_set_str(get, "path", path);
    json_set_int(get, "port", PORT_METRICS);
    json_set_str(get, "scheme", "HTTP");
    json_set_int(object, "periodSeconds", period_seconds);
    json_set_int(object, "timeoutSeconds", PROBE_TIMEOUT_SECONDS);
    json_set_int(object, "failureThreshold", failures);
    return object;
}

static void add_port(struct json *container, const char *name, int64_t number)
{
    struct json *port = json_object();
    json_set_str(port, "name", name);
    json_set_int(port, "containerPort", number);
    json_set_str(port, "protocol", "TCP");
    json_append(json_ensure_array(container, "ports"), port);
}

enum mount_kind { MOUNT_WRITABLE, MOUNT_READ_ONLY };

static void add_mount(struct json *container, const char *name, const char *path,
                      enum mount_kind kind)
{
    struct json *mount = json_object();
    json_set_str(mount, "name", name);
    json_set_str(mount, "mountPath", path);
    if (kind == MOUNT_READ_ONLY) {
        json_set_bool(mount, "readOnly", true);
    }
    json_append(json_ensure_array(container, "volumeMounts"), mount);
}

/* Readable by the group that the Pod's processes are in, and by nobody else. */
static void add_secret_volume(const struct cluster_spec *want, struct json *spec, const char *name,
                              enum certs_secret secret)
{
    struct json *volume = json_object();
    json_set_str(volume, "name", name);
    struct json *source = json_ensure_object(volume, "secret");
    json_set_str(source, "secretName", certs_secret_name(want, secret).text);
    json_set_int(source, "defaultMode", SECRET_MODE);
    static const char *const KEYS[] = {"tls.crt", "tls.key", "ca.crt"};
    for (size_t i = 0; i < ARRAY_COUNT(KEYS); i++) {
        struct json *item = json_append(json_ensure_array(source, "items"), json_object());
        json_set_str(item, "key", KEYS[i]);
        json_set_str(item, "path", KEYS[i]);
    }
    json_append(json_ensure_array(spec, "volumes"), volume);
}

static void set_security(struct json *spec, struct json *container)
{
    struct json *pod = json_ensure_object(spec, "securityContext");
    json_set_bool(pod, "runAsNonRoot", true);
    json_set_int(pod, "runAsUser", RUN_AS_ID);
    json_set_int(pod, "runAsGroup", RUN_AS_ID);
    json_set_int(pod, "fsGroup", RUN_AS_ID);
    json_set_str(pod, "fsGroupChangePolicy", "OnRootMismatch");
    json_set_str(json_ensure_object(pod, "seccompProfile"), "type", "RuntimeDefault");
    struct json *inner = json_ensure_object(container, "securityContext");
    json_set_bool(inner, "allowPrivilegeEscalation", false);
    json_set_bool(inner, "readOnlyRootFilesystem", true);
    json_append(json_ensure_array(json_ensure_object(inner, "capabilities"), "drop"),
                json_string("ALL"));
}

static struct json *container_of(const struct cluster_spec *want, const struct build_pod *pod)
{
    struct json *container = json_object();
    json_set_str(container, "name", "quorate");
    json_set_str(container, "image", want->image.reference);
    json_set_str(container, "imagePullPolicy", want->image.pull_policy);
    json_append(json_ensure_array(container, "command"), json_string("quorate"));
    json_set(container, "args", command_args(want, pod));
    add_port(container, "client", PORT_CLIENT);
    add_port(container, "peer", PORT_PEER);
    add_port(container, "metrics", PORT_METRICS);
    add_mount(container, "data", "/data", MOUNT_WRITABLE);
    if (certs_are_wanted(want)) {
        add_mount(container, "server-tls", BUILD_SERVER_DIR, MOUNT_READ_ONLY);
        add_mount(container, "peer-tls", BUILD_PEER_DIR, MOUNT_READ_ONLY);
    }
    json_set(container, "startupProbe", probe("/livez", STARTUP_PERIOD_SECONDS, STARTUP_FAILURES));
    json_set(container, "livenessProbe",
             probe("/livez", LIVENESS_PERIOD_SECONDS, LIVENESS_FAILURES));
    /* A learner is not ready until it is promoted; nobody waits for it: peers find it by the
     * headless Service, and the planner reads its progress from etcd. */
    json_set(container, "readinessProbe",
             probe("/readyz", READINESS_PERIOD_SECONDS, READINESS_FAILURES));
    if (want->pod.resources != NULL) {
        json_set(container, "resources", json_copy(want->pod.resources));
    }
    return container;
}

/* One anti-affinity rule against other members of the cluster. */
static struct json *anti_affinity_term(const struct cluster_spec *want, const char *topology_key)
{
    struct json *term = json_object();
    json_set(json_ensure_object(term, "labelSelector"), "matchLabels", object_selector(want));
    json_set_str(term, "topologyKey", topology_key);
    return term;
}

static void add_spread(const struct cluster_spec *want, enum spec_spread spread,
                       const char *topology_key, int64_t weight, struct json *affinity)
{
    if (spread == SPEC_SPREAD_OFF) {
        return;
    }
    struct json *anti = json_ensure_object(affinity, "podAntiAffinity");
    struct json *term = anti_affinity_term(want, topology_key);
    if (spread == SPEC_SPREAD_REQUIRED) {
        json_append(json_ensure_array(anti, "requiredDuringSchedulingIgnoredDuringExecution"),
                    term);
        return;
    }
    struct json *weighted = json_object();
    json_set_int(weighted, "weight", weight);
    json_set(weighted, "podAffinityTerm", term);
    json_append(json_ensure_array(anti, "preferredDuringSchedulingIgnoredDuringExecution"),
                weighted);
}

/* The user's own placement rules, with the spread rules added to them. */
static void set_placement(const struct cluster_spec *want, struct json *spec)
{
    struct json *affinity =
        want->pod.affinity == NULL ? json_object() : json_copy(want->pod.affinity);
    add_spread(want, want->availability.host, "kubernetes.io/hostname", 100, affinity);
    add_spread(want, want->availability.zone, "topology.kubernetes.io/zone", 50, affinity);
    if (json_count(affinity) > 0) {
        json_set(spec, "affinity", affinity);
    } else {
        json_free(affinity);
    }
    const struct {
        const char *key;
        const struct json *value;
    } trees[] = {{"nodeSelector", want->pod.node_selector},
                 {"tolerations", want->pod.tolerations},
                 {"topologySpreadConstraints", want->pod.topology_spread},
                 {"imagePullSecrets", want->image.pull_secrets}};
    for (size_t i = 0; i < ARRAY_COUNT(trees); i++) {
        if (trees[i].value != NULL) {
            json_set(spec, trees[i].key, json_copy(trees[i].value));
        }
    }
    if (want->availability.priority_class != NULL) {
        json_set_str(spec, "priorityClassName", want->availability.priority_class);
    }
    if (want->pod.runtime_class != NULL) {
        json_set_str(spec, "runtimeClassName", want->pod.runtime_class);
    }
}

struct json *build_pod(const struct cluster_spec *want, const struct build_pod *pod)
{
    struct json *object = object_new(want, "v1", "Pod", pod->member, pod->member);
    struct json *meta = json_get(object, "metadata");
    struct json *labels = json_ensure_object(meta, "labels");
    json_set_str(labels, LABEL_ROLE, pod->is_voter ? "voter" : "learner");
    object_merge_strings(labels, want->pod.labels);
    char hash[BUILD_HASH_MAX];
    build_template_hash(want, hash);
    struct json *annotations = json_ensure_object(meta, "annotations");
    json_set_str(annotations, ANNOTATION_TEMPLATE_HASH, hash);
    object_merge_strings(annotations, want->pod.annotations);

    struct json *spec = json_ensure_object(object, "spec");
    json_set_str(spec, "hostname", pod->member);
    json_set_str(spec, "subdomain", names_peer_service(want->name).text);
    json_set_str(spec, "restartPolicy", "Always");
    json_set_bool(spec, "automountServiceAccountToken", false);
    json_set_bool(spec, "enableServiceLinks", false);
    json_set_int(spec, "terminationGracePeriodSeconds", TERMINATION_GRACE_SECONDS);
    struct json *container = container_of(want, pod);
    set_security(spec, container);
    json_append(json_ensure_array(spec, "containers"), container);
    struct json *volume = json_object();
    json_set_str(volume, "name", "data");
    json_set_str(json_ensure_object(volume, "persistentVolumeClaim"), "claimName",
                 names_pvc(pod->member).text);
    json_append(json_ensure_array(spec, "volumes"), volume);
    if (certs_are_wanted(want)) {
        add_secret_volume(want, spec, "server-tls", CERTS_SERVER);
        add_secret_volume(want, spec, "peer-tls", CERTS_PEER);
    }
    set_placement(want, spec);
    return object;
}

static void hash_tree(struct buf *text, const struct json *tree)
{
    if (tree != NULL) {
        json_write(tree, JSON_COMPACT, text);
    }
    buf_append_byte(text, '\n');
}

void build_template_hash(const struct cluster_spec *want, char out[BUILD_HASH_MAX])
{
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);
    buf_printf(&text,
               "%s %s %s %" PRId64 " %d %s %" PRId64 " %" PRId64 " %" PRId64 " %d %d %s %s\n",
               want->version, want->image.reference, want->image.pull_policy,
               want->options.quota_backend_bytes, (int)want->options.compaction_mode,
               want->options.compaction_retention, want->options.snapshot_count,
               want->options.max_request_bytes, want->options.max_txn_ops,
               (int)want->availability.host, (int)want->availability.zone,
               want->availability.priority_class == NULL ? "" : want->availability.priority_class,
               want->pod.runtime_class == NULL ? "" : want->pod.runtime_class);
    const struct json *const trees[] = {want->image.pull_secrets, want->pod.resources,
                                        want->pod.node_selector,  want->pod.tolerations,
                                        want->pod.affinity,       want->pod.topology_spread,
                                        want->pod.labels,         want->pod.annotations};
    for (size_t i = 0; i < ARRAY_COUNT(trees); i++) {
        hash_tree(&text, trees[i]);
    }
    if (certs_are_wanted(want)) {
        buf_printf(&text, "tls %s %s\n", certs_secret_name(want, CERTS_SERVER).text,
                   certs_secret_name(want, CERTS_PEER).text);
    }
    uint64_t hash = FNV_OFFSET;
    for (size_t i = 0; i < text.size; i++) {
        hash = (hash ^ text.data[i]) * FNV_PRIME;
    }
    buf_free(&text);
    static const char DIGITS[] = "0123456789abcdef";
    for (int i = 0; i < 16; i++) {
        out[i] = DIGITS[hash >> (60 - 4 * i) & 15];
    }
    out[16] = '\0';
}
