/* SPDX-License-Identifier: Apache-2.0 */
/* Takes out of an answer what etcd leaves open: the order of equals, of a lease's keys, of leases.
 */
#ifndef TESTS_DIFFERENTIAL_NORMALIZE_H
#define TESTS_DIFFERENTIAL_NORMALIZE_H

#include "tests/differential/ops.h"

/* Changes response, the answer to request, in place. */
void normalize_answer(enum op_kind kind, const ProtobufCMessage *request,
                      ProtobufCMessage *response);

#endif
