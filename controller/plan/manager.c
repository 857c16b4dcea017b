/* SPDX-License-Identifier: Apache-2.0 */
/* The objects of cert-manager, in mode CertManager: applied when they are missing or differ. */
#include "controller/build/build.h"
#include "controller/plan/pass.h"

void plan_manager(struct pass *pass)
{
    const struct observed_manager *seen = &pass->seen->manager;
    if (pass->want->tls_mode != SPEC_TLS_CERT_MANAGER || !seen->is_known) {
        return;
    }
    for (size_t i = 0; i < CERTS_MANAGER_COUNT; i++) {
        struct json *wanted = build_manager(pass->want, i);
        const struct json *actual = seen->objects[i];
        if (actual != NULL && build_covers(actual, wanted)) {
            json_free(wanted);
            continue;
        }
        const char *verb = actual == NULL ? "Created" : "Updated";
        enum object_kind kind = certs_manager_is_issuer(i) ? OBJECT_ISSUER : OBJECT_CERTIFICATE;
        struct action *action = plan_apply(pass->out, kind, wanted);
        event_set(&action->event, EVENT_NORMAL, verb, action->name, "%s %s %s", verb,
                  object_kind_text(kind), action->name);
    }
}
