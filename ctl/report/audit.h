/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the items of a file of etcd make sense together: each record readable, each key's
 * history without a hole, leases, users, roles and members that others name there. For `snapshot
 * verify`. Pure.
 */
#ifndef CTL_REPORT_AUDIT_H
#define CTL_REPORT_AUDIT_H

#include "base/bytes.h"
#include "base/err.h"

#define AUDIT_FINDINGS_MAX 20u /* told in words; more are counted */

struct audit; /* opaque; keeps the keys that live */

struct audit *audit_new(void);
void audit_free(struct audit *audit);

/* One item, buckets and keys in order; audit is a struct audit. 0. */
int audit_bucket(void *audit, struct bytes name);
int audit_item(void *audit, struct bytes bucket, struct bytes key, struct bytes value);

/* After the last one: looks at what needs all of them. */
void audit_end(struct audit *audit);

/* How many things are wrong; the first AUDIT_FINDINGS_MAX of them in words. */
size_t audit_count(const struct audit *audit);
const char *audit_finding(const struct audit *audit, size_t index);

#endif
