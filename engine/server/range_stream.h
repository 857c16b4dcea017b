/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RangeStream: one range in parts, all of one revision. Nothing is held between two parts but the
 * request and the next key, so that a client may take its time: a compaction that passes the
 * revision ends the stream. For the files of this folder only.
 */
#ifndef ENGINE_SERVER_RANGE_STREAM_H
#define ENGINE_SERVER_RANGE_STREAM_H

#include "engine/server/internal.h"

struct range_stream;

/* What etcd answers to requests that cannot be given in parts; NULL: this one can. */
const char *range_stream_unsupported(const Etcdserverpb__RangeRequest *request);

/* Begins at the newest revision, or at the one that is asked for. Takes request, also with an
 * error. The caller has checked who asks. */
enum etcd_error range_stream_new(struct server *server, struct request *request,
                                 struct range_stream **out_stream);

/* NULL is allowed. */
void range_stream_free(struct server *server, struct range_stream *stream);

/* Appends the next message, if this slice gave one; the last one has header, more and count. */
enum etcd_error range_stream_pull(struct server *server, struct range_stream *stream,
                                  struct buf *out, bool *out_done);

#endif
