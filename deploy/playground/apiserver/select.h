/* SPDX-License-Identifier: Apache-2.0 */
/* Label and field selectors. Pure. */
#ifndef PLAYGROUND_APISERVER_SELECT_H
#define PLAYGROUND_APISERVER_SELECT_H

#include "base/err.h"
#include "base/json.h"

/* A parsed selector; NULL selects everything. */
struct selector;

/* Parses "a=b,c!=d,e in (f,g),h notin (i),j,!k". Gives *out_selector (NULL for an empty text). */
BASE_MUST_CHECK int selector_parse_labels(const char *text, struct selector **out_selector,
                                          struct err *err);

/* Parses "metadata.name=a,spec.nodeName!=b"; any path to a scalar is a field. */
BASE_MUST_CHECK int selector_parse_fields(const char *text, struct selector **out_selector,
                                          struct err *err);

void selector_free(struct selector *selector);

/* True when the labels (field selector: the paths) of object match. */
bool selector_matches(const struct selector *selector, const struct json *object);

/* True when labels (an object of strings, or NULL) match a LabelSelector; an empty one matches all.
 */
bool select_label_selector(const struct json *label_selector, const struct json *labels);

/* True when labels hold every pair of wanted; an empty or absent wanted matches nothing. */
bool select_simple(const struct json *wanted, const struct json *labels);

#endif
