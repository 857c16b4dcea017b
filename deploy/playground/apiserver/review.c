/* SPDX-License-Identifier: Apache-2.0 */
/* Access and token reviews: there is one user, and it may do everything. */
#include <string.h>

#include "api.h"

#define ONLY_USER "playground-admin"

static struct json *user_info(void)
{
    struct json *user = json_object();
    json_set_str(user, "username", ONLY_USER);
    struct json *groups = json_ensure_array(user, "groups");
    json_append(groups, json_string("system:masters"));
    json_append(groups, json_string("system:authenticated"));
    return user;
}

static void all_rules(struct json *status)
{
    struct json *rule = json_object();
    static const char *const FIELDS[] = {"verbs", "apiGroups", "resources"};
    for (size_t i = 0; i < ARRAY_COUNT(FIELDS); i++) {
        json_append(json_ensure_array(rule, FIELDS[i]), json_string("*"));
    }
    json_append(json_ensure_array(status, "resourceRules"), rule);
    json_set(status, "nonResourceRules", json_array());
    json_set_bool(status, "incomplete", false);
}

void review_create(const struct request *request, struct reply *reply)
{
    const char *kind = request->version->kind->name;
    struct json *review = json_copy(request->body);
    struct json *status = json_object();
    if (strcmp(kind, "SelfSubjectReview") == 0) {
        json_set(status, "userInfo", user_info());
    } else if (strcmp(kind, "TokenReview") == 0) {
        json_set_bool(status, "authenticated", true);
        json_set(status, "user", user_info());
    } else if (strcmp(kind, "SelfSubjectRulesReview") == 0) {
        all_rules(status);
    } else {
        json_set_bool(status, "allowed", true);
        json_set_str(status, "reason", "the playground allows everything to its only user");
    }
    json_set(review, "status", status);
    reply_set(reply, 201, review);
}
