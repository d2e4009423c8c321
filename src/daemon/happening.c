/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Words for what becomes of the daemon itself. Holds nothing and decides nothing. */
#include "happening.h"

#include <stddef.h>

#include "base/strbuf.h"
#include "log.h"

static const struct {
	const char *name;
	const char *words; /* of the log */
	const char *message_id;
	enum log_level level;
} happenings[HAPPENING_COUNT] = {
	[HAPPENING_DEGRADED] = {"degraded", "degraded", "2c1556fd406a4c88a35e36d98b2a9cd3",
				LOG_WARN},
	[HAPPENING_RECOVERED] = {"recovered", "no longer degraded",
				 "0405faaa8f614cb3b4dee9a597a4cf51", LOG_NOTE},
	[HAPPENING_PANIC] = {"panic", "degraded", "441072115b8c4c3786226459079ed1c3", LOG_WARN},
	[HAPPENING_RESUME] = {"resume", "no longer degraded", "686396cb594d4fa888845f314b6586ba",
			      LOG_NOTE},
	[HAPPENING_BRAKE_ON] = {"brake-on", "degraded", "73f7ce7facf3400c86f8b1bb8de48798",
				LOG_WARN},
	[HAPPENING_BRAKE_OFF] = {"brake-off", "no longer degraded",
				 "5b380bdba86241fc8afcfce779fb9856", LOG_NOTE},
	[HAPPENING_RELOAD] = {"reload", "policy reloaded", "b7a90b2c998d48ff92d6c6ab2aa5d943",
			      LOG_NOTE},
	[HAPPENING_RELOAD_FAILED] = {"reload-failed",
				     "policy not reloaded, the running one stays in force",
				     "6bc32fde2dd34a66a6374ee399e91b4e", LOG_ERROR},
	[HAPPENING_CONFIRM] = {"confirm", "policy confirmed", "4ff6c4c0e02c4e5f93e1eb21a1094c51",
			       LOG_NOTE},
	[HAPPENING_ROLLBACK] = {"rollback", "policy taken back", "100f0029f8d244f4b5e4491104c73bd7",
				LOG_WARN},
	[HAPPENING_GAP] = {"gap", "events lost", "42803ffc3ac94994bb4068c607c265c8", LOG_NOTE},
	[HAPPENING_RESYNC] = {"resync", "counts rebuilt", "992d88ea62d24a14b267bf304a585d2c",
			      LOG_NOTE},
	[HAPPENING_STEP_DOWN] = {"step-down", "one step down", "fd42870a17b749428ffc536d7db3e164",
				 LOG_WARN},
	[HAPPENING_STEP_UP] = {"step-up", "one step up", "d9243cec5b694f37a7267be97dc0a6a4",
			       LOG_NOTE},
};

enum happening happening_of(enum health_reason reason, bool on)
{
	if (reason == HEALTH_PANIC)
		return on ? HAPPENING_PANIC : HAPPENING_RESUME;
	if (reason == HEALTH_BRAKE)
		return on ? HAPPENING_BRAKE_ON : HAPPENING_BRAKE_OFF;
	return on ? HAPPENING_DEGRADED : HAPPENING_RECOVERED;
}

const char *happening_name(enum happening what)
{
	return happenings[what].name;
}

const char *happening_message_id(enum happening what)
{
	return happenings[what].message_id;
}

void happening_log(struct log *log, enum happening what, const char *cause, const char *message)
{
	struct tg_strbuf fields;
	tg_strbuf_init(&fields);
	if (log->journal_fd >= 0)
		tg_strbuf_printf(&fields, "MESSAGE_ID=%s\nTCPGUARD_EVENT=%s\nTCPGUARD_CAUSE=%s\n",
				 happenings[what].message_id, happenings[what].name, cause);
	log_write_fields(log, happenings[what].level,
			 fields.len > 0 && !fields.failed ? fields.text : NULL, "%s (%s): %s",
			 happenings[what].words, cause, message);
	tg_strbuf_finish(&fields);
}
