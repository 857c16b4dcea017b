/* SPDX-License-Identifier: Apache-2.0 */
/* $(VAR) in command, args and env, as Kubernetes expands it. PURE. */
#ifndef PLAYGROUND_KUBELET_EXPAND_H
#define PLAYGROUND_KUBELET_EXPAND_H

/* The variable's value, borrowed for the call, or NULL. */
typedef const char *(*expand_fn)(void *ctx, const char *name);

/* Gives text expanded (mem_free). "$$" is one '$'; a reference to nothing stays as it is. */
char *expand_text(const char *text, expand_fn lookup, void *ctx);

#endif
