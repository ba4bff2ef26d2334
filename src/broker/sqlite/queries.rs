/// The time by the database's clock, in milliseconds since 1970.
pub(super) const NOW: &str = "SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER)";

pub(super) const TOPIC: &str = "SELECT partitions FROM bowline_broker_topic WHERE name = $1";

pub(super) const CREATE_TOPIC: &str =
    "INSERT INTO bowline_broker_topic (name, partitions) VALUES ($1, $2)";

pub(super) const CREATE_PARTITION: &str =
    "INSERT INTO bowline_broker_partition (topic, partition) VALUES ($1, $2)";

pub(super) const PARTITIONS: &str = "SELECT id, end_offset FROM bowline_broker_partition \
     WHERE topic = $1 ORDER BY partition";

pub(super) const APPEND: &str = "INSERT INTO bowline_broker_record \
     (place, key, headers, payload, appended_at) VALUES ($1, $2, $3, $4, $5)";

pub(super) const MOVE_END: &str =
    "UPDATE bowline_broker_partition SET end_offset = $2 WHERE id = $1";

/// The revision of a group as a row without a topic, and the ends of the partitions of its topics.
pub(super) const LOOK: &str = "SELECT NULL AS topic, 0 AS partition, 0 AS id, revision AS value \
     FROM bowline_broker_group WHERE name = $1 \
     UNION ALL \
     SELECT topic, partition, id, end_offset FROM bowline_broker_partition \
     WHERE topic IN (SELECT value FROM json_each($2))";

pub(super) const READ: &str = "SELECT place, key, headers, payload, appended_at \
     FROM bowline_broker_record WHERE place >= $1 AND place < $2 ORDER BY place LIMIT $3";

pub(super) const GROUP: &str = "SELECT revision FROM bowline_broker_group WHERE name = $1";

pub(super) const SAVE_GROUP: &str = "INSERT INTO bowline_broker_group (name, revision) \
     VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET revision = excluded.revision";

pub(super) const MEMBERS: &str = "SELECT id, topics, timeout_ms, seen_ms \
     FROM bowline_broker_member WHERE group_name = $1";

pub(super) const DELETE_MEMBERS: &str = "DELETE FROM bowline_broker_member WHERE group_name = $1";

pub(super) const SAVE_MEMBER: &str = "INSERT INTO bowline_broker_member \
     (group_name, id, topics, timeout_ms, seen_ms) VALUES ($1, $2, $3, $4, $5)";

pub(super) const TOUCH: &str =
    "UPDATE bowline_broker_member SET seen_ms = $3 WHERE group_name = $1 AND id = $2";

pub(super) const CLAIMS: &str = "SELECT topic, partition, owner, epoch, revoking \
     FROM bowline_broker_claim WHERE group_name = $1";

pub(super) const DELETE_CLAIMS: &str = "DELETE FROM bowline_broker_claim WHERE group_name = $1";

pub(super) const SAVE_CLAIM: &str = "INSERT INTO bowline_broker_claim \
     (group_name, topic, partition, owner, epoch, revoking) VALUES ($1, $2, $3, $4, $5, $6)";

/// Finds nothing once the assignment has ended.
pub(super) const OWNS: &str = "SELECT 1 FROM bowline_broker_claim \
     WHERE group_name = $1 AND topic = $2 AND partition = $3 AND owner = $4 AND epoch = $5";

/// Changes nothing once the assignment has ended.
pub(super) const COMMIT: &str = "INSERT INTO bowline_broker_commit \
     (group_name, topic, partition, next_offset, metadata) \
     SELECT group_name, topic, partition, $6, $7 FROM bowline_broker_claim \
     WHERE group_name = $1 AND topic = $2 AND partition = $3 AND owner = $4 AND epoch = $5 \
     ON CONFLICT (group_name, topic, partition) DO UPDATE \
     SET next_offset = excluded.next_offset, metadata = excluded.metadata";

pub(super) const COMMITTED: &str = "SELECT next_offset, metadata FROM bowline_broker_commit \
     WHERE group_name = $1 AND topic = $2 AND partition = $3";

/// Commits the end of the partition, unless something was committed before.
pub(super) const COMMIT_END: &str = "INSERT INTO bowline_broker_commit \
     (group_name, topic, partition, next_offset) \
     SELECT $1, topic, partition, end_offset FROM bowline_broker_partition \
     WHERE topic = $2 AND partition = $3 \
     ON CONFLICT (group_name, topic, partition) DO NOTHING";
