/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates: what is due becomes actions that name a Secret and a task. No key is in a plan: act
 * makes them. They wait for nothing and nobody waits for them, but for the first start.
 */
#include <stdio.h>

#include "base/alloc.h"
#include "controller/model/certs.h"
#include "controller/plan/pass.h"

static const struct {
    const char *reason;
    const char *done;
} EVENTS[] = {
    [CERTS_MAKE_CA] = {"MadeAuthority", "Made the authority"},
    [CERTS_TRUST_NEXT] = {"TrustedNextAuthority", "The next authority is trusted beside the one"},
    [CERTS_USE_NEXT] = {"UsedNextAuthority", "The next authority issues from now on in"},
    [CERTS_DROP_OLD] = {"DroppedOldAuthority", "The old authority is trusted no more in"},
    [CERTS_ISSUE] = {"IssuedCertificate", "Issued the certificate"},
    [CERTS_SHARE_TRUST] = {"SharedTrust", "Brought up to date whom to trust in"},
};

static void add_action(struct pass *pass, const struct certs_task *task)
{
    const struct certs_facts *facts = &pass->seen->certs;
    struct name name = certs_secret_name(pass->want, task->secret);
    struct action *action = plan_append(pass->out, ACTION_CERTIFICATE);
    action->object = OBJECT_SECRET;
    action->name = str_dup(name.text);
    action->task = *task;
    snprintf(action->version, sizeof(action->version), "%s", facts->of[task->secret].version);
    if (task->secret > CERTS_CLIENT_CA) {
        snprintf(action->ca_version, sizeof(action->ca_version), "%s",
                 facts->of[certs_authority_of(task->secret)].version);
    }
    event_set(&action->event, EVENT_NORMAL, EVENTS[task->what].reason, name.text, "%s %s: %s",
              EVENTS[task->what].done, name.text, task->why);
}

bool plan_certs(struct pass *pass)
{
    plan_manager(pass);
    struct certs_due due;
    certs_decide(pass->want, &pass->seen->certs, pass->now_ms, &due);
    for (size_t i = 0; i < due.task_count; i++) {
        add_action(pass, &due.tasks[i]);
    }
    if (!certs_are_wanted(pass->want) || due.is_ready || pass->view->latched_id != 0) {
        return true;
    }
    plan_say(pass->out, REASON_CertificatesPending,
             "Waiting for the certificates: see condition CertificatesValid");
    return false;
}
