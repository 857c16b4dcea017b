/* SPDX-License-Identifier: Apache-2.0 */
/* Read, compare versions, make. */
#include "controller/act/certificate.h"

#include <string.h>

#include "base/alloc.h"
#include "controller/pki/secret.h"

/* The Secret at the version that was judged; NULL when it was judged absent and still is. */
static int read_judged(const struct kube_seam *seam, const struct cluster_spec *want,
                       const char *name, const char *version, struct json **out_object,
                       struct err *err)
{
    struct json *object = NULL;
    int rc = kube_get(seam, KUBE_SECRET, want->ns, name, &object, err);
    if (rc != 0 && rc != E_NOT_FOUND) {
        return rc;
    }
    const char *found = rc == 0 ? json_path_str(object, "metadata.resourceVersion", "") : "";
    if (strcmp(found, version) != 0) {
        json_free(object);
        return err_set(err, E_CONFLICT, "Secret %s has changed since it was judged", name);
    }
    *out_object = rc == 0 ? object : NULL;
    return 0;
}

int act_certificate_make(const struct kube_seam *seam, const struct cluster_spec *want,
                         const struct action *action, int64_t now_ms, struct kube_call *out_call,
                         struct json **out_body, struct err *err)
{
    struct json *present = NULL;
    struct json *authority = NULL;
    int rc = read_judged(seam, want, action->name, action->version, &present, err);
    if (rc == 0 && action->ca_version[0] != '\0') {
        struct name name = certs_secret_name(want, certs_authority_of(action->task.secret));
        rc = read_judged(seam, want, name.text, action->ca_version, &authority, err);
    }
    struct json *body = NULL;
    if (rc == 0) {
        const struct pki_job job = {want,    action->task.secret, action->task.what,
                                    present, authority,           now_ms};
        rc = pki_secret_make(&job, &body, err);
    }
    if (rc == 0) {
        *out_body = body;
        *out_call = (struct kube_call){
            .verb = present == NULL ? KUBE_CREATE : KUBE_MERGE_PATCH,
            .kind = &KUBE_KINDS[KUBE_SECRET],
            .namespace_ = want->ns,
            .name = action->name,
            .body = body,
        };
    }
    json_free(present);
    json_free(authority);
    return rc;
}
