/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages as text, by their descriptors: each field that is not zero, and nothing by hand, so that
 * no field is forgotten. Answers are compared as these texts; what is left out of them stands in
 * one table.
 */
#ifndef TESTS_DIFFERENTIAL_PRINT_H
#define TESTS_DIFFERENTIAL_PRINT_H

#include <protobuf-c/protobuf-c.h>

#include "base/buf.h"

/* Appends "{field: value ...}". Long bytes are given by head, length and checksum. */
void print_message(struct buf *out, const ProtobufCMessage *message);

/* Writes the table of what is not compared, and why, to standard output. */
void print_left_out(void);

#endif
