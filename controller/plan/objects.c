/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects of the cluster as a whole: applied when they are missing or differ in a field that is
 * ours. Nothing is written when the world is as wanted. Safe at any time: no member is touched.
 */
#include <string.h>

#include "controller/build/build.h"
#include "controller/plan/pass.h"

/* Applies wanted (taken) unless actual covers it already. */
static void converge(struct pass *pass, enum object_kind kind, const struct observed_object *actual,
                     struct json *wanted)
{
    if (actual != NULL && (actual->deleting || build_covers(actual->raw, wanted))) {
        json_free(wanted);
        return;
    }
    const char *verb = actual == NULL ? "Created" : "Updated";
    struct action *action = plan_apply(pass->out, kind, wanted);
    event_set(&action->event, EVENT_NORMAL, verb, action->name, "%s %s %s", verb,
              object_kind_text(kind), action->name);
}

/* SSA owns the whole selector; a key that is left over from before the latch must go. */
static bool client_selector_is_stale(const struct observed_object *service, bool serving)
{
    if (service == NULL || !serving) {
        return false;
    }
    const struct json *selector = json_path(service->raw, "spec.selector");
    return json_get(selector, LABEL_NOT_YET) != NULL;
}

/* Clients may come when the id stands in status and on a volume, and no Pod could still found anew.
 */
static bool is_serving(const struct pass *pass)
{
    if (!pass->view->latched_in_status || !pass->view->latched_on_volume) {
        return false;
    }
    for (size_t i = 0; i < pass->view->member_count; i++) {
        const struct member_view *member = &pass->view->members[i];
        if (member->pod != NULL && member->pod->state_new) {
            return false;
        }
    }
    return true;
}

static void converge_services(struct pass *pass)
{
    struct name peers = names_peer_service(pass->want->name);
    struct name client = names_client_service(pass->want->name);
    converge(pass, OBJECT_SERVICE, observed_service(pass->seen, peers.text),
             build_peer_service(pass->want));
    const struct observed_object *actual = observed_service(pass->seen, client.text);
    /* Once open it stays open: a Pod that restarts must not take the address from the others. */
    bool was_open = actual != NULL &&
                    json_get(json_path(actual->raw, "spec.selector"), LABEL_NOT_YET) == NULL &&
                    pass->view->latched_in_status;
    bool serving = was_open || is_serving(pass);
    struct json *wanted = build_client_service(pass->want, serving);
    if (client_selector_is_stale(actual, serving)) {
        struct action *action = plan_apply(pass->out, OBJECT_SERVICE, wanted);
        event_set(&action->event, EVENT_NORMAL, "ClientServiceOpened", client.text,
                  "Clients reach the cluster by Service %s", client.text);
        return;
    }
    converge(pass, OBJECT_SERVICE, actual, wanted);
}

static void converge_pdb(struct pass *pass)
{
    struct name name = names_pdb(pass->want->name);
    const struct observed_object *actual = observed_pdb(pass->seen, name.text);
    if (pass->want->availability.pdb == SPEC_PDB_OFF) {
        if (actual != NULL && !actual->deleting) {
            plan_delete_object(pass->out, OBJECT_PDB, actual->name, actual->uid, NULL);
        }
        return;
    }
    /* While voters go from five to three, three of five still must stay. */
    int64_t voters = BASE_MAX(pass->view->voter_count, pass->want->replicas);
    if (!pass->view->fresh && actual != NULL) {
        int64_t now = json_path_i64(actual->raw, "spec.minAvailable", 0);
        voters = BASE_MAX(voters, 2 * now - 1);
    }
    converge(pass, OBJECT_PDB, actual, build_pdb(pass->want, spec_quorum(voters)));
}

void plan_objects(struct pass *pass)
{
    converge_services(pass);
    converge_pdb(pass);
}
