/* SPDX-License-Identifier: Apache-2.0 */
/* Who listens on which port of which node; in the memory of the world. */
#include "base/alloc.h"
#include "tests/sim/net_internal.h"

struct port {
    struct list node;
    int owner;
    uint16_t number;
    struct http1_server *server;
};

void sim_net_listen(struct http1_server *server, uint16_t number)
{
    sim_memory_world();
    struct port *port = mem_zalloc(sizeof(*port));
    port->owner = sim_node();
    port->number = number;
    port->server = server;
    list_append(&net_state()->ports, &port->node);
    sim_memory_back();
}

static void forget_ports(int owner, const struct http1_server *server)
{
    LIST_EACH_SAFE(it, &net_state()->ports)
    {
        struct port *port = LIST_ENTRY(it, struct port, node);
        if (server != NULL ? port->server == server : port->owner == owner) {
            list_remove(&port->node);
            mem_free(port);
        }
    }
}

void sim_net_unlisten(struct http1_server *server)
{
    forget_ports(SIM_NOBODY, server);
}

void net_server_died(int node)
{
    forget_ports(node, NULL);
}

struct http1_server *net_server_find(int node, uint16_t number)
{
    LIST_EACH(it, &net_state()->ports)
    {
        struct port *port = LIST_ENTRY(it, struct port, node);
        if (port->owner == node && port->number == number) {
            return port->server;
        }
    }
    return NULL;
}
