/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carries out one task on a Secret: reads it and its authority's again, makes what is asked for,
 * and creates or patches at the version that was judged. Keys are here for this moment only.
 */
#ifndef CONTROLLER_ACT_CERTIFICATE_H
#define CONTROLLER_ACT_CERTIFICATE_H

#include "controller/kube/client.h"
#include "controller/model/action.h"
#include "controller/model/spec.h"

/* Gives the call's body (json_free) and fills verb, kind, namespace, name. E_CONFLICT: the Secret
 * is not what was judged. */
BASE_MUST_CHECK int act_certificate_make(const struct kube_seam *seam,
                                         const struct cluster_spec *want,
                                         const struct action *action, int64_t now_ms,
                                         struct kube_call *out_call, struct json **out_body,
                                         struct err *err);

#endif
