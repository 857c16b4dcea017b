/* SPDX-License-Identifier: Apache-2.0 */
/* command, args, env and working folder of a container, as its process gets them. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "content.h"
#include "expand.h"
#include "files.h"
#include "image.h"

#define PATH_FALLBACK "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct variable {
    char *name;
    char *value;
};

struct variables {
    struct variable *list;
    size_t count;
    size_t capacity;
};

static const char *variable_find(void *ctx, const char *name)
{
    const struct variables *variables = ctx;
    for (size_t i = 0; i < variables->count; i++) {
        if (strcmp(variables->list[i].name, name) == 0) {
            return variables->list[i].value;
        }
    }
    return NULL;
}

/* Takes value. */
static void variable_set(struct variables *variables, const char *name, char *value)
{
    for (size_t i = 0; i < variables->count; i++) {
        if (strcmp(variables->list[i].name, name) == 0) {
            mem_free(variables->list[i].value);
            variables->list[i].value = value;
            return;
        }
    }
    if (variables->count == variables->capacity) {
        variables->capacity = variables->capacity == 0 ? 16 : variables->capacity * 2;
        variables->list =
            mem_realloc(variables->list, variables->capacity * sizeof(*variables->list));
    }
    variables->list[variables->count++] = (struct variable){str_dup(name), value};
}

static void variables_free(struct variables *variables)
{
    for (size_t i = 0; i < variables->count; i++) {
        mem_free(variables->list[i].name);
        mem_free(variables->list[i].value);
    }
    mem_free(variables->list);
}

/* A key of a Secret or ConfigMap. 0 with *out_value NULL: absent and optional. */
static int value_of_key(const struct kubelet *kubelet, const struct pod *pod, bool is_secret,
                        const struct json *reference, char **out_value, struct err *err)
{
    const char *name = json_path_str(reference, "name", "");
    const char *key = json_path_str(reference, "key", "");
    const struct json *object = content_object(kubelet, is_secret, pod->ns, name);
    size_t size = 0;
    *out_value = object == NULL ? NULL : content_value(object, is_secret, key, &size);
    if (*out_value != NULL || json_path_truth(reference, "optional", false)) {
        return 0;
    }
    const char *kind = is_secret ? "secret" : "configmap";
    return object == NULL
               ? err_set(err, E_NOT_FOUND, "%s \"%s\" not found", kind, name)
               : err_set(err, E_NOT_FOUND, "couldn't find key %s in %s %s", key, kind, name);
}

static int value_from(const struct kubelet *kubelet, const struct pod *pod,
                      const struct json *source, char **out_value, struct err *err)
{
    const struct json *part;
    if ((part = json_get(source, "configMapKeyRef")) != NULL) {
        return value_of_key(kubelet, pod, false, part, out_value, err);
    }
    if ((part = json_get(source, "secretKeyRef")) != NULL) {
        return value_of_key(kubelet, pod, true, part, out_value, err);
    }
    const char *field = json_path_str(source, "fieldRef.fieldPath", "");
    *out_value = content_field(kubelet, pod, field);
    return *out_value != NULL
               ? 0
               : err_set(err, E_INVALID, "the playground does not offer the field \"%s\"", field);
}

/* All keys of a Secret or ConfigMap. */
static int add_all_keys(const struct kubelet *kubelet, const struct pod *pod,
                        const struct json *row, struct variables *variables, struct err *err)
{
    bool is_secret = json_get(row, "secretRef") != NULL;
    const struct json *reference = json_get(row, is_secret ? "secretRef" : "configMapRef");
    const char *name = json_path_str(reference, "name", "");
    const struct json *object = content_object(kubelet, is_secret, pod->ns, name);
    if (object == NULL && !json_path_truth(reference, "optional", false)) {
        return err_set(err, E_NOT_FOUND, "%s \"%s\" not found", is_secret ? "secret" : "configmap",
                       name);
    }
    const struct json *data = json_get(object, "data");
    for (size_t i = 0; i < json_count(data); i++) {
        size_t size = 0;
        char *full = str_printf("%s%s", json_path_str(row, "prefix", ""), json_key_at(data, i));
        char *value = content_value(object, is_secret, json_key_at(data, i), &size);
        if (value != NULL) {
            variable_set(variables, full, value);
        }
        mem_free(full);
    }
    return 0;
}

static int add_env(const struct kubelet *kubelet, const struct pod *pod, const struct json *spec,
                   struct variables *variables, struct err *err)
{
    const struct json *sources = json_get(spec, "envFrom");
    for (size_t i = 0; i < json_count(sources); i++) {
        int rc = add_all_keys(kubelet, pod, json_at(sources, i), variables, err);
        if (rc != 0) {
            return rc;
        }
    }
    const struct json *env = json_get(spec, "env");
    for (size_t i = 0; i < json_count(env); i++) {
        const struct json *row = json_at(env, i);
        char *value = NULL;
        const struct json *from = json_get(row, "valueFrom");
        if (from == NULL) {
            value = expand_text(json_path_str(row, "value", ""), variable_find, variables);
        } else {
            int rc = value_from(kubelet, pod, from, &value, err);
            if (rc != 0) {
                return rc;
            }
        }
        if (value != NULL) {
            variable_set(variables, json_path_str(row, "name", ""), value);
        }
    }
    return 0;
}

static void add_defaults(const struct kubelet *kubelet, const struct pod *pod,
                         struct variables *variables)
{
    const char *path = getenv("PATH");
    const char *host = json_path_str(pod->object, "spec.hostname", "");
    variable_set(variables, "PATH", str_dup(path == NULL ? PATH_FALLBACK : path));
    variable_set(variables, "HOME", str_dup(pod->dir));
    variable_set(variables, "HOSTNAME", str_dup(*host == '\0' ? pod->name : host));
    variable_set(variables, "KUBERNETES_SERVICE_HOST", str_dup("127.0.0.1"));
    variable_set(variables, "KUBERNETES_SERVICE_PORT", str_printf("%u", kubelet->config.api_port));
    variable_set(variables, "KUBERNETES_SERVICE_PORT_HTTPS",
                 str_printf("%u", kubelet->config.api_port));
}

static void set_mounts(const struct pod *pod, const struct json *spec,
                       struct environment *environment)
{
    const struct json *mounts = json_get(spec, "volumeMounts");
    environment->mounts = mem_array(json_count(mounts) + 1, sizeof(*environment->mounts));
    for (size_t i = 0; i < json_count(mounts); i++) {
        const struct json *mount = json_at(mounts, i);
        const char *name = json_path_str(mount, "name", "");
        const char *sub_path = json_path_str(mount, "subPath", "");
        char *path = str_dup(json_path_str(mount, "mountPath", ""));
        size_t size = strlen(path);
        while (size > 1 && path[size - 1] == '/') {
            path[--size] = '\0';
        }
        for (size_t k = 0; k < pod->mount_count && size > 1; k++) {
            if (strcmp(pod->mounts[k].path, name) != 0) {
                continue;
            }
            const char *slash = *sub_path == '\0' ? "" : "/";
            char *folder = str_printf("%s%s%s", pod->mounts[k].folder, slash, sub_path);
            if (*sub_path != '\0' && access(folder, F_OK) != 0) {
                files_make_dirs(folder);
            }
            environment->mounts[environment->mount_count++] =
                (struct rewrite_mount){str_dup(path), folder};
        }
        mem_free(path);
    }
}

static struct rewrite rules_of(const struct environment *environment, const struct pod *pod)
{
    return (struct rewrite){.mounts = environment->mounts,
                            .mount_count = environment->mount_count,
                            .pod_ip = pod->ip,
                            .loopback_ip = pod->loopback};
}

/* A word that is no path is looked for beside the image's program first. Takes word. */
static char *find_program(char *word, const char *program)
{
    const char *slash = strrchr(program, '/');
    if (strchr(word, '/') != NULL || slash == NULL) {
        return word;
    }
    char *beside = str_printf("%.*s/%s", (int)(slash - program), program, word);
    if (access(beside, X_OK) != 0) {
        mem_free(beside);
        return word;
    }
    mem_free(word);
    return beside;
}

static void set_argv(const struct pod *pod, const struct json *spec, const char *program,
                     struct variables *variables, struct environment *environment)
{
    struct rewrite rules = rules_of(environment, pod);
    const struct json *command = json_get(spec, "command");
    const struct json *args = json_get(spec, "args");
    environment->argv = mem_array(json_count(command) + json_count(args) + 2, sizeof(char *));
    char *entry = image_entry(program, json_str(json_at(command, 0), NULL));
    size_t count = 0;
    environment->argv[count++] = find_program(entry, program);
    const struct json *const lists[] = {command, args};
    for (size_t list = 0; list < ARRAY_COUNT(lists); list++) {
        for (size_t i = list == 0 ? 1 : 0; i < json_count(lists[list]); i++) {
            char *word =
                expand_text(json_str(json_at(lists[list], i), ""), variable_find, variables);
            environment->argv[count++] = rewrite_text(&rules, word);
            mem_free(word);
        }
    }
}

static void set_envp(const struct pod *pod, const struct variables *variables,
                     struct environment *environment)
{
    struct rewrite rules = rules_of(environment, pod);
    environment->envp = mem_array(variables->count + 1, sizeof(char *));
    for (size_t i = 0; i < variables->count; i++) {
        const struct variable *variable = &variables->list[i];
        bool is_api = str_starts_with(variable->name, "KUBERNETES_SERVICE_");
        char *value = is_api ? str_dup(variable->value) : rewrite_text(&rules, variable->value);
        environment->envp[i] = str_printf("%s=%s", variable->name, value);
        mem_free(value);
    }
}

int environment_make(struct kubelet *kubelet, const struct pod *pod,
                     const struct container *container, const char *program,
                     struct environment *out, struct err *err)
{
    struct variables variables = {0};
    memset(out, 0, sizeof(*out));
    add_defaults(kubelet, pod, &variables);
    int rc = add_env(kubelet, pod, container->spec, &variables, err);
    if (rc == 0) {
        set_mounts(pod, container->spec, out);
        set_argv(pod, container->spec, program, &variables, out);
        set_envp(pod, &variables, out);
        struct rewrite rules = rules_of(out, pod);
        const char *cwd = json_path_str(container->spec, "workingDir", NULL);
        out->cwd = cwd == NULL ? str_printf("%s/work", pod->dir) : rewrite_text(&rules, cwd);
    }
    variables_free(&variables);
    return rc;
}

static void free_words(char **words)
{
    for (size_t i = 0; words != NULL && words[i] != NULL; i++) {
        mem_free(words[i]);
    }
    mem_free(words);
}

void environment_set_command(struct environment *environment, const struct pod *pod,
                             const struct json *command)
{
    struct rewrite rules = rules_of(environment, pod);
    free_words(environment->argv);
    environment->argv = mem_array(json_count(command) + 1, sizeof(char *));
    for (size_t i = 0; i < json_count(command); i++) {
        environment->argv[i] = rewrite_text(&rules, json_str(json_at(command, i), ""));
    }
}

void environment_free(struct environment *environment)
{
    free_words(environment->argv);
    free_words(environment->envp);
    mem_free(environment->cwd);
    for (size_t i = 0; i < environment->mount_count; i++) {
        mem_free(environment->mounts[i].path);
        mem_free(environment->mounts[i].folder);
    }
    mem_free(environment->mounts);
    memset(environment, 0, sizeof(*environment));
}
