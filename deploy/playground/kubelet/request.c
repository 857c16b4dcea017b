/* SPDX-License-Identifier: Apache-2.0 */
/* What one may do to the playground from outside: lose nodes, kill and destroy Pods. */
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "state.h"

#define WORDS_MAX 5u

/* Splits the path behind /playground/ in place; gives the number of words. */
static size_t split(char *path, char *words[WORDS_MAX])
{
    size_t count = 0;
    char *rest = path;
    for (char *word; count < WORDS_MAX && (word = strsep(&rest, "/")) != NULL;) {
        if (*word != '\0') {
            words[count++] = word;
        }
    }
    return rest == NULL ? count : 0;
}

static struct json *say(const char *format, ...) BASE_PRINTF(1, 2);

static struct json *say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = str_vprintf(format, args);
    va_end(args);
    struct json *answer = json_object();
    json_set_str(answer, "message", text);
    mem_free(text);
    return answer;
}

static int change_node(struct kubelet *kubelet, const char *name, bool is_lost,
                       struct json **out_answer)
{
    struct err err = {""};
    int rc = nodes_set_lost(kubelet, name, is_lost, &err);
    *out_answer =
        rc == 0 ? say("node %s is %s", name, is_lost ? "lost" : "back") : say("%s", err.text);
    return rc == 0 ? 200 : rc == E_NOT_FOUND ? 404 : 409;
}

static int strike_pod(struct kubelet *kubelet, const char *ns, const char *name, bool is_final,
                      struct json **out_answer)
{
    struct pod *pod = kubelet->pods;
    while (pod != NULL &&
           (pod->is_gone || strcmp(pod->ns, ns) != 0 || strcmp(pod->name, name) != 0)) {
        pod = pod->next;
    }
    if (pod == NULL) {
        *out_answer = say("no pod %s/%s is on a node", ns, name);
        return 404;
    }
    pod_kill(pod);
    size_t lost = is_final ? volumes_destroy(kubelet, pod) : 0;
    LOG_INFO(is_final ? "pod destroyed" : "pod killed", LOG_STR("namespace", ns),
             LOG_STR("pod", name), LOG_U64("volumes", lost));
    *out_answer = is_final ? say("pod %s/%s is killed, %zu volume(s) lost", ns, name, lost)
                           : say("pod %s/%s is killed", ns, name);
    return 200;
}

int kubelet_request(struct kubelet *kubelet, const char *method, const char *path,
                    struct json **out_answer)
{
    static const char PREFIX[] = "/playground/";
    if (!str_starts_with(path, PREFIX)) {
        return 0;
    }
    char *copy = str_dup(path + strlen(PREFIX));
    char *words[WORDS_MAX];
    size_t count = split(copy, words);
    bool is_node = count == 3 && strcmp(words[0], "nodes") == 0 &&
                   (strcmp(words[2], "lose") == 0 || strcmp(words[2], "back") == 0);
    bool is_pod = count == 4 && strcmp(words[0], "pods") == 0 &&
                  (strcmp(words[3], "kill") == 0 || strcmp(words[3], "destroy") == 0);
    int code = 0;
    if ((is_node || is_pod) && strcmp(method, "POST") != 0) {
        *out_answer = say("use POST");
        code = 405;
    } else if (is_node || is_pod) {
        pthread_mutex_lock(&kubelet->lock);
        code = is_node ? change_node(kubelet, words[1], words[2][0] == 'l', out_answer)
                       : strike_pod(kubelet, words[1], words[2], words[3][0] == 'd', out_answer);
        pthread_cond_signal(&kubelet->wake);
        pthread_mutex_unlock(&kubelet->lock);
    }
    mem_free(copy);
    return code;
}
