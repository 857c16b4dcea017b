/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of a Secret or ConfigMap in a Pod's folder, replaced all at once as a kubelet does it: the
 * files stand in a hidden folder of their own, "..data" is a link to it, and the names that the
 * container sees are links through "..data". One rename shows all new files together.
 */
#ifndef PLAYGROUND_KUBELET_PUBLISH_H
#define PLAYGROUND_KUBELET_PUBLISH_H

/* Gives a new hidden folder below folder, to be filled (publish_end or publish_cancel). */
char *publish_begin(const char *folder);

/* Shows what staging (taken) holds in place of what was there; nothing moves when it is the same.
 */
void publish_end(const char *folder, char *staging);

/* Removes staging (taken). */
void publish_cancel(char *staging);

#endif
