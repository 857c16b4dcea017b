/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsing and validation of EtcdCluster.spec. A field that was not given is read from DEFAULTS, so
 * that a default is said once here and once in the CRD schema; a test holds the two equal.
 */
#include "controller/model/spec.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/flags.h"

#define GIB                      (INT64_C(1) << 30)
#define MIB                      (INT64_C(1) << 20)
#define STORAGE_BYTES_MIN        (64 * MIB)
#define QUOTA_BYTES_MIN          (16 * MIB)
#define QUOTA_DEFAULT_MAX        (8 * GIB)
#define QUOTA_PERCENT_OF_STORAGE 70
#define SECOND_MS                INT64_C(1000)
#define WORD_LIST_BYTES_MAX      256u
#define DAY_MS                   (24 * 3600 * SECOND_MS)
#define TLS_LIFETIME_MIN_MS      (30 * SECOND_MS)
#define TLS_LIFETIME_MAX_MS      (100 * 365 * DAY_MS)
#define TLS_SETTLE_MAX_MS        (365 * DAY_MS)
#define TLS_NAME_MAX             253u

static const char DEFAULTS[] =
    "{\"replicas\":3,\"engine\":\"Quorate\",\"version\":\"3.6\",\"paused\":false,"
    "\"image\":{\"repository\":\"" SPEC_DEFAULT_IMAGE "\",\"tag\":\"" SPEC_DEFAULT_TAG
    "\",\"pullPolicy\":\"IfNotPresent\"},"
    "\"storage\":{\"size\":\"8Gi\",\"reclaimPolicy\":\"Delete\"},"
    "\"tls\":{\"mode\":\"Auto\",\"leafLifetime\":\"2160h\",\"caLifetime\":\"87600h\","
    "\"settleTime\":\"24h\",\"caGeneration\":1},"
    "\"options\":{\"autoCompaction\":{\"mode\":\"Periodic\",\"retention\":\"5m\"},"
    "\"snapshotCount\":10000,\"maxRequestBytes\":1572864,\"maxTxnOps\":128},"
    "\"availability\":{\"spread\":{\"host\":\"Preferred\",\"zone\":\"Preferred\"},"
    "\"podDisruptionBudget\":\"Auto\"},"
    "\"services\":{\"client\":{\"type\":\"ClusterIP\"}},"
    "\"repair\":{\"policy\":\"Replace\",\"notReadyGracePeriod\":\"5m\",\"nodeLostGracePeriod\":"
    "\"5m\","
    "\"crashLoopThreshold\":3,\"learnerPromoteTimeout\":\"30m\",\"maxReplacementsPerHour\":3},"
    "\"progressDeadline\":\"10m\"}";

static const char *const ENGINES[] = {"Quorate", "Etcd"};
static const char *const TLS_MODES[] = {"Auto", "CertManager", "Secrets", "Disabled"};
static const char *const SPREADS[] = {"Off", "Preferred", "Required"};
static const char *const PDBS[] = {"Auto", "Off"};
static const char *const REPAIRS[] = {"Replace", "RecreateOnly", "Manual"};
static const char *const COMPACTIONS[] = {"Periodic", "Revision", "Off"};
static const char *const RECLAIMS[] = {"Delete", "RetainOnReplace", "Retain"};
static const char *const PULL_POLICIES[] = {"Always", "IfNotPresent", "Never"};
static const char *const SERVICE_TYPES[] = {"ClusterIP", "NodePort", "LoadBalancer"};

/* The object being read and the spec being filled. */
struct reader {
    const struct json *given;
    struct cluster_spec *spec;
};

struct json *spec_defaults(void)
{
    struct json *defaults = json_parse(DEFAULTS, sizeof(DEFAULTS) - 1, NULL);
    ASSERT(defaults != NULL);
    return defaults;
}

/* Notes one wrong field; takes nothing, the texts are formatted. */
static void add_problem(struct reader *reader, enum condition_reason why, const char *field,
                        const char *format, ...) BASE_PRINTF(4, 5);

static void add_problem(struct reader *reader, enum condition_reason why, const char *field,
                        const char *format, ...)
{
    struct cluster_spec *spec = reader->spec;
    if (spec->problem_count == SPEC_PROBLEMS_MAX && !FUZZ_PLANT(spec_problems)) {
        return;
    }
    const char *prefix = str_starts_with(field, "metadata.") ? "" : "spec.";
    va_list args;
    va_start(args, format);
    spec->problems[spec->problem_count++] =
        (struct spec_problem){str_printf("%s%s", prefix, field), str_vprintf(format, args), why};
    va_end(args);
}

/* The value at path below spec, or its default; an explicit null counts as not given. */
static const struct json *read_value(const struct reader *reader, const char *path)
{
    const struct json *value = json_path(reader->given, path);
    if (json_type_of(value) == JSON_NULL) {
        value = json_path(reader->spec->defaults, path);
    }
    return value;
}

static int64_t read_int(struct reader *reader, const char *path, int64_t min, int64_t max)
{
    const struct json *value = read_value(reader, path);
    int64_t number = json_i64(value, 0);
    if (!json_is(value, JSON_INT) || number < min || number > max) {
        add_problem(reader, REASON_InvalidSpec, path,
                    "must be a whole number from %" PRId64 " to %" PRId64 "; change it to one", min,
                    max);
    }
    return number;
}

static bool read_bool(struct reader *reader, const char *path)
{
    const struct json *value = read_value(reader, path);
    if (!json_is(value, JSON_BOOL)) {
        add_problem(reader, REASON_InvalidSpec, path,
                    "must be true or false; change it to one of them");
    }
    return json_truth(value, false);
}

/* A text, or NULL when neither given nor defaulted. An empty text counts as not given. */
static const char *read_text(struct reader *reader, const char *path)
{
    const struct json *value = read_value(reader, path);
    if (json_type_of(value) == JSON_NULL) {
        return NULL;
    }
    const char *text = json_str(value, NULL);
    if (text == NULL) {
        add_problem(reader, REASON_InvalidSpec, path, "must be a text; put it in quotes");
        return NULL;
    }
    return text[0] == '\0' ? NULL : text;
}

/* The index of the word in words; a problem (and 0) when it is none of them. */
static size_t read_word(struct reader *reader, const char *path, const char *const *words,
                        size_t count)
{
    const char *text = json_str(read_value(reader, path), "");
    struct buf list;
    buf_init(&list, WORD_LIST_BYTES_MAX);
    size_t found = 0;
    while (found < count && strcmp(words[found], text) != 0) {
        buf_printf(&list, "%s%s", found == 0 ? "" : ", ", words[found]);
        found++;
    }
    if (found == count) {
        add_problem(reader, REASON_InvalidSpec, path, "is \"%s\"; set it to one of: %s", text,
                    buf_cstr(&list));
    }
    buf_free(&list);
    return found == count ? 0 : found;
}

static int64_t read_duration_up_to(struct reader *reader, const char *path, int64_t min_ms,
                                   int64_t max_ms)
{
    int64_t value_ms = 0;
    const char *text = json_str(read_value(reader, path), "");
    if (flags_parse_duration_ms(text, &value_ms) != 0 || value_ms < min_ms || value_ms > max_ms) {
        add_problem(reader, REASON_InvalidSpec, path,
                    "is \"%s\"; write a duration of %" PRId64 "s to %" PRId64 "h, such as \"5m\"",
                    text, min_ms / SECOND_MS, max_ms / (3600 * SECOND_MS));
    }
    return value_ms;
}

static int64_t read_duration(struct reader *reader, const char *path, int64_t min_ms)
{
    return read_duration_up_to(reader, path, min_ms, 30 * DAY_MS);
}

static int64_t read_quantity(struct reader *reader, const char *path, int64_t min_bytes)
{
    const struct json *value = read_value(reader, path);
    int64_t bytes = json_i64(value, 0);
    if (!json_is(value, JSON_INT) && spec_quantity_bytes(json_str(value, ""), &bytes) != 0) {
        add_problem(reader, REASON_InvalidSpec, path,
                    "is not a size; write a quantity such as \"8Gi\"");
        return 0;
    }
    if (bytes < min_bytes) {
        add_problem(reader, REASON_InvalidSpec, path,
                    "is too small; set it to %" PRId64 "Mi or more", min_bytes / MIB);
    }
    return bytes;
}

/* A subtree that is passed on to Kubernetes as it is; NULL when not given. */
static const struct json *read_tree(struct reader *reader, const char *path, enum json_type type)
{
    const struct json *value = read_value(reader, path);
    if (json_type_of(value) == JSON_NULL) {
        return NULL;
    }
    if (!json_is(value, type)) {
        add_problem(reader, REASON_InvalidSpec, path, "must be %s; see kubectl explain",
                    type == JSON_OBJECT ? "a map" : "a list");
        return NULL;
    }
    return value;
}

/* A map of text to text; keys of the operator's own prefix would break its selectors. */
static const struct json *read_map(struct reader *reader, const char *path)
{
    const struct json *map = read_tree(reader, path, JSON_OBJECT);
    for (size_t i = 0; i < json_count(map); i++) {
        const char *key = json_key_at(map, i);
        if (str_starts_with(key, "quorate.dev/") || str_starts_with(key, "app.kubernetes.io/")) {
            add_problem(reader, REASON_InvalidSpec, path,
                        "has the key %s, which is the operator's; remove it", key);
        }
        if (!json_is(json_at(map, i), JSON_STRING)) {
            add_problem(reader, REASON_InvalidSpec, path,
                        "has a value at %s that is no text; quote it", key);
        }
    }
    return map;
}

/* Service names must be DNS-1035 labels; the longest is "<name>-client". */
static void check_name(struct reader *reader)
{
    const char *name = reader->spec->name;
    size_t size = strlen(name);
    bool good = size > 0 && size <= SPEC_NAME_MAX && name[0] >= 'a' && name[0] <= 'z' &&
                name[size - 1] != '-';
    for (size_t i = 0; good && i < size; i++) {
        good = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9') ||
               name[i] == '-';
    }
    if (!good) {
        add_problem(
            reader, REASON_InvalidSpec, "metadata.name",
            "\"%s\" cannot be the start of Service names; create the cluster under a name of "
            "at most %u lower-case letters, digits and '-', starting with a letter",
            name, SPEC_NAME_MAX);
    }
}

static void read_image(struct reader *reader)
{
    struct cluster_spec *spec = reader->spec;
    const char *repository = read_text(reader, "image.repository");
    const char *tag = read_text(reader, "image.tag");
    const char *digest = read_text(reader, "image.digest");
    if (repository == NULL) {
        repository = SPEC_DEFAULT_IMAGE;
    }
    if (digest != NULL) {
        spec->image.reference = str_printf("%s@%s", repository, digest);
    } else {
        spec->image.reference =
            str_printf("%s:%s", repository, tag == NULL ? SPEC_DEFAULT_TAG : tag);
    }
    spec->image.pull_policy = PULL_POLICIES[read_word(reader, "image.pullPolicy", PULL_POLICIES,
                                                      ARRAY_COUNT(PULL_POLICIES))];
    spec->image.pull_secrets = read_tree(reader, "image.pullSecrets", JSON_ARRAY);
}

static void read_storage(struct reader *reader)
{
    struct cluster_spec *spec = reader->spec;
    spec->storage.size = json_str(read_value(reader, "storage.size"), "");
    spec->storage.size_bytes = read_quantity(reader, "storage.size", STORAGE_BYTES_MIN);
    spec->storage.storage_class = read_text(reader, "storage.storageClassName");
    spec->storage.reclaim = (enum spec_reclaim)read_word(reader, "storage.reclaimPolicy", RECLAIMS,
                                                         ARRAY_COUNT(RECLAIMS));
}

/* Periodic wants a duration, Revision a count of revisions. */
static void check_compaction(struct reader *reader)
{
    struct cluster_spec *spec = reader->spec;
    const char *text = spec->options.compaction_retention;
    int64_t value_ms = 0;
    char *end = NULL;
    if (spec->options.compaction_mode == SPEC_COMPACTION_PERIODIC &&
        (flags_parse_duration_ms(text, &value_ms) != 0 || value_ms < SECOND_MS)) {
        add_problem(reader, REASON_InvalidSpec, "options.autoCompaction.retention",
                    "is \"%s\"; mode Periodic needs a duration such as \"5m\"", text);
    }
    if (spec->options.compaction_mode == SPEC_COMPACTION_REVISION &&
        (strtoll(text, &end, 10) <= 0 || *end != '\0')) {
        add_problem(reader, REASON_InvalidSpec, "options.autoCompaction.retention",
                    "is \"%s\"; mode Revision needs a count of revisions such as \"10000\"", text);
    }
}

static void read_options(struct reader *reader)
{
    struct cluster_spec *spec = reader->spec;
    if (json_type_of(read_value(reader, "options.quotaBackend")) == JSON_NULL) {
        int64_t share = spec->storage.size_bytes / 100 * QUOTA_PERCENT_OF_STORAGE;
        spec->options.quota_backend_bytes = BASE_MIN(QUOTA_DEFAULT_MAX, share);
    } else {
        spec->options.quota_backend_bytes =
            read_quantity(reader, "options.quotaBackend", QUOTA_BYTES_MIN);
    }
    if (spec->options.quota_backend_bytes > spec->storage.size_bytes) {
        add_problem(reader, REASON_InvalidSpec, "options.quotaBackend",
                    "is larger than spec.storage.size; lower it or enlarge the storage");
    }
    spec->options.compaction_mode = (enum spec_compaction)read_word(
        reader, "options.autoCompaction.mode", COMPACTIONS, ARRAY_COUNT(COMPACTIONS));
    spec->options.compaction_retention =
        json_str(read_value(reader, "options.autoCompaction.retention"), "");
    check_compaction(reader);
    spec->options.snapshot_count = read_int(reader, "options.snapshotCount", 100, 10000000);
    spec->options.max_request_bytes = read_int(reader, "options.maxRequestBytes", 1024, 512 * MIB);
    spec->options.max_txn_ops = read_int(reader, "options.maxTxnOps", 1, 100000);
}

static void read_availability(struct reader *reader)
{
    struct cluster_spec *spec = reader->spec;
    spec->availability.host = (enum spec_spread)read_word(reader, "availability.spread.host",
                                                          SPREADS, ARRAY_COUNT(SPREADS));
    spec->availability.zone = (enum spec_spread)read_word(reader, "availability.spread.zone",
                                                          SPREADS, ARRAY_COUNT(SPREADS));
    spec->availability.pdb = (enum spec_pdb)read_word(reader, "availability.podDisruptionBudget",
                                                      PDBS, ARRAY_COUNT(PDBS));
    spec->availability.priority_class = read_text(reader, "availability.priorityClassName");
}

static void read_pod(struct reader *reader)
{
    struct cluster_spec *spec = reader->spec;
    spec->pod.resources = read_tree(reader, "pod.resources", JSON_OBJECT);
    spec->pod.node_selector = read_tree(reader, "pod.nodeSelector", JSON_OBJECT);
    spec->pod.tolerations = read_tree(reader, "pod.tolerations", JSON_ARRAY);
    spec->pod.affinity = read_tree(reader, "pod.affinity", JSON_OBJECT);
    spec->pod.topology_spread = read_tree(reader, "pod.topologySpreadConstraints", JSON_ARRAY);
    spec->pod.labels = read_map(reader, "pod.labels");
    spec->pod.annotations = read_map(reader, "pod.annotations");
    spec->pod.runtime_class = read_text(reader, "pod.runtimeClassName");
    spec->client_service.type = SERVICE_TYPES[read_word(reader, "services.client.type",
                                                        SERVICE_TYPES, ARRAY_COUNT(SERVICE_TYPES))];
    spec->client_service.labels = read_map(reader, "services.client.labels");
    spec->client_service.annotations = read_map(reader, "services.client.annotations");
}

static void read_repair(struct reader *reader)
{
    struct cluster_spec *spec = reader->spec;
    spec->repair.policy =
        (enum spec_repair)read_word(reader, "repair.policy", REPAIRS, ARRAY_COUNT(REPAIRS));
    spec->repair.not_ready_grace_ms =
        read_duration(reader, "repair.notReadyGracePeriod", SECOND_MS);
    spec->repair.node_lost_grace_ms =
        read_duration(reader, "repair.nodeLostGracePeriod", SECOND_MS);
    spec->repair.crash_loop_threshold = read_int(reader, "repair.crashLoopThreshold", 1, 100);
    spec->repair.learner_promote_timeout_ms =
        read_duration(reader, "repair.learnerPromoteTimeout", 10 * SECOND_MS);
    spec->repair.max_replacements_per_hour =
        read_int(reader, "repair.maxReplacementsPerHour", 1, SPEC_REPLACEMENTS_PER_HOUR_MAX);
    spec->progress_deadline_ms = read_duration(reader, "progressDeadline", 10 * SECOND_MS);
}

/* What the schema knows but this release cannot do is refused here, with the way out. */
static void read_modes(struct reader *reader)
{
    struct cluster_spec *spec = reader->spec;
    spec->engine = (enum spec_engine)read_word(reader, "engine", ENGINES, ARRAY_COUNT(ENGINES));
    if (spec->engine == SPEC_ENGINE_ETCD) {
        add_problem(reader, REASON_EngineNotSupported, "engine",
                    "Etcd is not supported by this release; set spec.engine: Quorate");
    }
    spec->version = json_str(read_value(reader, "version"), "");
    if (!str_equal(spec->version, "3.6")) {
        add_problem(reader, REASON_InvalidSpec, "version",
                    "\"%s\" is not supported by this release; set spec.version: \"3.6\"",
                    spec->version);
    }
}

static bool is_name(const char *text, const char *also)
{
    size_t size = strlen(text);
    for (size_t i = 0; i < size; i++) {
        bool plain = (text[i] >= 'a' && text[i] <= 'z') || (text[i] >= '0' && text[i] <= '9');
        if (!plain && strchr(also, text[i]) == NULL) {
            return false;
        }
    }
    return size > 0 && size <= TLS_NAME_MAX;
}

static void read_tls_names(struct reader *reader)
{
    const struct json *names = read_tree(reader, "tls.serverNames", JSON_ARRAY);
    reader->spec->tls.server_names = names;
    for (size_t i = 0; i < json_count(names); i++) {
        const char *name = json_str(json_at(names, i), "");
        const char *host = str_starts_with(name, "*.") ? name + 2 : name;
        if (!is_name(host, "-.:")) {
            add_problem(reader, REASON_InvalidSpec, "tls.serverNames",
                        "has \"%s\"; write DNS names in lower case, or addresses", name);
        }
    }
}

/* Names of Secrets that a person gives; needed in mode Secrets, and only there. */
static const char *read_secret_name(struct reader *reader, const char *path)
{
    const char *name = read_text(reader, path);
    bool is_needed = reader->spec->tls_mode == SPEC_TLS_SECRETS;
    if (name == NULL && is_needed) {
        add_problem(
            reader, REASON_InvalidSpec, path,
            "is needed in mode Secrets; write the name of a Secret with tls.crt, tls.key and "
            "ca.crt");
    }
    if (name != NULL && !is_needed) {
        add_problem(reader, REASON_InvalidSpec, path,
                    "is for mode Secrets only; remove it, or set spec.tls.mode: Secrets");
    }
    if (name != NULL && !is_name(name, "-.")) {
        add_problem(reader, REASON_InvalidSpec, path, "is \"%s\"; write the name of a Secret",
                    name);
    }
    return name;
}

/* A cluster speaks TLS from its first start on, or never: peers of both kinds do not understand
 * each other. */
static void check_mode_stays(struct reader *reader, const struct json *object)
{
    bool was_founded = json_path_str(object, "status.clusterID", NULL) != NULL;
    const char *before = json_path_str(object, "status.tls.mode", "Disabled");
    const char *now = TLS_MODES[reader->spec->tls_mode];
    if (was_founded && strcmp(before, now) != 0) {
        add_problem(reader, REASON_TLSModeChanged, "tls.mode",
                    "cannot be changed from %s to %s once the cluster runs; set it back to %s, and "
                    "move the data to a new cluster for another mode",
                    before, now, before);
        /* What runs goes on as it was. */
        for (size_t i = 0; i < ARRAY_COUNT(TLS_MODES); i++) {
            if (strcmp(TLS_MODES[i], before) == 0) {
                reader->spec->tls_mode = (enum spec_tls_mode)i;
            }
        }
    }
}

static void read_tls(struct reader *reader, const struct json *object)
{
    struct cluster_spec *spec = reader->spec;
    spec->tls_mode =
        (enum spec_tls_mode)read_word(reader, "tls.mode", TLS_MODES, ARRAY_COUNT(TLS_MODES));
    check_mode_stays(reader, object);
    spec->tls.leaf_lifetime_ms =
        read_duration_up_to(reader, "tls.leafLifetime", TLS_LIFETIME_MIN_MS, TLS_LIFETIME_MAX_MS);
    spec->tls.ca_lifetime_ms =
        read_duration_up_to(reader, "tls.caLifetime", TLS_LIFETIME_MIN_MS, TLS_LIFETIME_MAX_MS);
    spec->tls.settle_ms =
        read_duration_up_to(reader, "tls.settleTime", SECOND_MS, TLS_SETTLE_MAX_MS);
    spec->tls.ca_generation = read_int(reader, "tls.caGeneration", 1, 1000000);
    read_tls_names(reader);
    spec->tls.peer_secret = read_secret_name(reader, "tls.secrets.peer");
    spec->tls.server_secret = read_secret_name(reader, "tls.secrets.server");
    spec->tls.operator_secret = read_secret_name(reader, "tls.secrets.operator");
    /* The last third of an authority's life is for its replacement: two waits and new leaves. */
    if (spec->tls.ca_lifetime_ms / 10 < spec->tls.settle_ms ||
        spec->tls.ca_lifetime_ms / 3 < spec->tls.leaf_lifetime_ms) {
        add_problem(reader, REASON_InvalidSpec, "tls.caLifetime",
                    "is too short; set it to at least ten times settleTime and three times "
                    "leafLifetime");
    }
}

int spec_parse(const struct json *object, struct cluster_spec *out)
{
    memset(out, 0, sizeof(*out));
    out->name = json_path_str(object, "metadata.name", "");
    out->ns = json_path_str(object, "metadata.namespace", "default");
    out->uid = json_path_str(object, "metadata.uid", "");
    out->generation = json_path_i64(object, "metadata.generation", 0);
    out->deleting = json_path_str(object, "metadata.deletionTimestamp", NULL) != NULL;
    out->defaults = spec_defaults();
    struct reader reader = {json_get(object, "spec"), out};
    check_name(&reader);
    out->replicas = read_int(&reader, "replicas", 1, SPEC_REPLICAS_MAX);
    out->paused = read_bool(&reader, "paused");
    read_modes(&reader);
    read_tls(&reader, object);
    read_image(&reader);
    read_storage(&reader);
    read_options(&reader);
    read_availability(&reader);
    read_pod(&reader);
    read_repair(&reader);
    return out->problem_count == 0 ? 0 : E_INVALID;
}

void spec_free(struct cluster_spec *spec)
{
    for (size_t i = 0; i < spec->problem_count; i++) {
        mem_free(spec->problems[i].field);
        mem_free(spec->problems[i].message);
    }
    mem_free(spec->image.reference);
    json_free(spec->defaults);
    memset(spec, 0, sizeof(*spec));
}

const char *spec_tls_mode_text(enum spec_tls_mode mode)
{
    ASSERT(mode < ARRAY_COUNT(TLS_MODES));
    return TLS_MODES[mode];
}

enum names_scheme spec_scheme(const struct cluster_spec *spec)
{
    return spec->tls_mode == SPEC_TLS_DISABLED ? NAMES_HTTP : NAMES_HTTPS;
}

int64_t spec_quorum(int64_t voter_count)
{
    return voter_count / 2 + 1;
}

int spec_quantity_bytes(const char *text, int64_t *out_bytes)
{
    static const struct {
        const char *suffix;
        int64_t factor;
    } SUFFIXES[] = {{"", 1},
                    {"k", INT64_C(1000)},
                    {"M", INT64_C(1000000)},
                    {"G", INT64_C(1000000000)},
                    {"T", INT64_C(1000000000000)},
                    {"Ki", INT64_C(1) << 10},
                    {"Mi", INT64_C(1) << 20},
                    {"Gi", INT64_C(1) << 30},
                    {"Ti", INT64_C(1) << 40}};
    int64_t whole = 0;
    int64_t fraction = 0; /* in thousandths */
    const char *cursor = text;
    if (text == NULL || *cursor < '0' || *cursor > '9') {
        return E_INVALID;
    }
    for (; *cursor >= '0' && *cursor <= '9'; cursor++) {
        if (whole > INT64_MAX / 16) {
            return E_INVALID;
        }
        whole = whole * 10 + (*cursor - '0');
    }
    if (*cursor == '.') {
        cursor++;
        for (int64_t scale = 100; *cursor >= '0' && *cursor <= '9'; cursor++, scale /= 10) {
            fraction += (*cursor - '0') * scale;
        }
    }
    for (size_t i = 0; i < ARRAY_COUNT(SUFFIXES); i++) {
        int64_t factor = SUFFIXES[i].factor;
        if (strcmp(cursor, SUFFIXES[i].suffix) == 0) {
            if (whole >= INT64_MAX / factor / 2) {
                return E_INVALID;
            }
            *out_bytes = whole * factor + (fraction * factor + 999) / 1000;
            return 0;
        }
    }
    return E_INVALID;
}
