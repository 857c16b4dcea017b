/* SPDX-License-Identifier: Apache-2.0 */
/* The three client-side patches. Pure: each changes *target in place or says what is wrong. */
#ifndef PLAYGROUND_APISERVER_PATCH_H
#define PLAYGROUND_APISERVER_PATCH_H

#include "base/err.h"
#include "base/json.h"

/*
 * RFC 6902. patch is the array of operations. E_INVALID: malformed or a failed "test" or a path
 * that is not there, or copies that grow past a limit. *target may be replaced; it stays owned by
 * the caller, changed in part on failure.
 */
BASE_MUST_CHECK int patch_json(struct json **target, const struct json *patch, struct err *err);

/* RFC 7386. */
void patch_merge(struct json *target, const struct json *patch);

/*
 * Strategic merge: lists merge by x-kubernetes-patch-merge-key of schema; the directives $patch
 * (replace, delete, merge), $deleteFromPrimitiveList, $setElementOrder and $retainKeys hold.
 */
BASE_MUST_CHECK int patch_strategic(struct json *target, const struct json *patch,
                                    const struct json *schema, struct err *err);

#endif
