-- Where a studio fulfills nothing by itself, few grants are fulfilled or none, and looking for them read all the others.
-- A grant's change of state writes into the table's other indexes anyway, so one more costs little.
CREATE INDEX reward_grant_fulfilled ON reward_grant (created_at, grant_id) WHERE state = 'fulfilled';
