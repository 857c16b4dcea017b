/* SPDX-License-Identifier: Apache-2.0 */
/* What the HTTP files share among themselves. For the files of this folder only. */
#ifndef ENGINE_SERVER_HTTP_H
#define ENGINE_SERVER_HTTP_H

#include "engine/server/internal.h"

/* I/O thread: answers /health, /livez..., /readyz... later, after asking the state thread. */
void io_probe_start(struct server *server, struct http1_request *request,
                    enum request_origin origin);

/*
 * I/O thread: what every request on a client URL is asked first: the host it names, the origin of
 * the page that sent it. False: it is answered.
 */
bool io_http_admit(struct server *server, struct http1_request *request);

#endif
