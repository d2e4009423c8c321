/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ends connections: because an operator asks for it, or because a ban does. Says what came of it.
 */
#include "control_kill.h"

#include <inttypes.h>
#include <string.h>

#include <tcpguard/config.h>
#include <tcpguard/protect.h>

#include "admins.h"
#include "daemon.h"
#include "killer.h"

/* NULL, or what is wrong with the request. */
static const char *read_order(const struct tg_record *request, struct killer_order *order,
			      bool *ret_force)
{
	const char *source = tg_record_get(request, "source");
	const char *wrong = source ? tg_prefix_parse(source, &order->source) : "source is missing";
	const char *everything = tg_record_get(request, "everything");
	const char *force = tg_record_get(request, "force");
	uint64_t port = 0;
	if (wrong)
		return wrong;
	if (tg_record_get(request, "port") &&
	    (!tg_record_get_u64(request, "port", &port) || port == 0 || port > UINT16_MAX))
		return "port is from 1 to 65535";
	if ((everything && strcmp(everything, "true") != 0) ||
	    (force && strcmp(force, "true") != 0))
		return "everything and force are true, or left out";
	if (everything && port != 0)
		return "either a port or everything";
	order->port = (uint16_t)port;
	order->scope = everything ? TG_SCOPE_EVERYTHING : TG_SCOPE_PORTS;
	*ret_force = force;
	return NULL;
}

void control_kill(void *data, struct control_client *client, const struct tg_record *request)
{
	struct daemon *daemon = data;
	struct killer_order order = {.token = control_client_id(client)};
	char hit_text[TG_PREFIX_STRLEN];
	bool force = false;
	const char *wrong = read_order(request, &order, &force);
	if (wrong) {
		control_error(client, 2, "%s", wrong);
		return;
	}
	const struct tg_protected_prefix *hit =
		force ? NULL : tg_prefix_set_overlap(daemon->protected, &order.source);
	if (!force && !hit)
		hit = tg_prefix_set_overlap(admins_set(daemon->admins), &order.source);
	if (hit)
		control_error(client, 1, "not without force: %s is %s",
			      tg_prefix_format(&hit->prefix, hit_text),
			      tg_protect_kind_name(hit->kind));
	else if (!killer_add(daemon->killer, &order))
		control_error(client, 1, "too many sources wait for their connections to end");
}

void control_kill_banned(struct daemon *daemon, const struct tg_ban *ban)
{
	const struct tg_config *config = daemon->policy.config;
	struct killer_order order = {.source = ban->source, .scope = ban->scope};
	if (ban->policy < config->policy_count)
		memcpy(order.policy, config->policies[ban->policy].name,
		       strlen(config->policies[ban->policy].name));
	(void)killer_add(daemon->killer, &order); /* counted, if there is no room */
}

void control_kill_done(void *data, const struct killer_order *order,
		       const struct killer_result *result)
{
	struct daemon *daemon = data;
	struct control_client *client =
		order->token ? control_find(daemon->control, order->token) : NULL;
	char source[TG_PREFIX_STRLEN];
	tg_prefix_format(&order->source, source);
	if (result->error)
		log_write(daemon->log, LOG_WARN, "%s: its connections may not all have ended: %s",
			  source, strerror(-result->error));
	else
		log_write(daemon->log, LOG_NOTE,
			  "%s: killed %" PRIu32 " sockets and %" PRIu32 " tracked connections",
			  source, result->sockets, result->flows);
	if (!client)
		return;
	tg_record_begin(control_out(client), "killed");
	tg_record_put(control_out(client), "source", source);
	tg_record_put_u64(control_out(client), "sockets", result->sockets);
	tg_record_put_u64(control_out(client), "flows", result->flows);
	tg_record_end(control_out(client));
	if (result->error)
		control_error(client, 1, "not all could be ended: %s", strerror(-result->error));
	else
		control_done(client);
}
