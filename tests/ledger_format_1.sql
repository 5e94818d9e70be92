-- A ledger of format 1, as codebudget 0.1 left it: entries that rose, a fork, grants, what the
-- client counted beyond the steps.
BEGIN TRANSACTION;
CREATE TABLE client_totals (
  session_id TEXT NOT NULL, source TEXT NOT NULL, since_ms INTEGER NOT NULL,
  base_picousd INTEGER NOT NULL, total_picousd INTEGER NOT NULL,
  before_picousd INTEGER NOT NULL, -- derived: the session's entries from before since_ms
  PRIMARY KEY (session_id, source)
) WITHOUT ROWID;
INSERT INTO "client_totals" VALUES('5d0f1c9e-6a53-4f0e-9d5b-0c6f2b7f1a11','sensor:p1.json',1795428000001,0,1000000000000,36030000000);
INSERT INTO "client_totals" VALUES('s2','transcript',0,0,2000000000000,0);
CREATE TABLE compactions (
  session_id TEXT NOT NULL, at_ms INTEGER NOT NULL,
  before_tokens INTEGER NOT NULL, after_tokens INTEGER NOT NULL, automatic INTEGER NOT NULL,
  PRIMARY KEY (session_id, at_ms)
) WITHOUT ROWID;
INSERT INTO "compactions" VALUES('s2',1795428000000,100,10,1);
CREATE TABLE copies (
  session_id TEXT NOT NULL, message_id TEXT NOT NULL,
  PRIMARY KEY (session_id, message_id)
) WITHOUT ROWID;
INSERT INTO "copies" VALUES('fork','msg_1');
CREATE TABLE cursors (
  path TEXT PRIMARY KEY, session_id TEXT NOT NULL,
  device INTEGER NOT NULL, inode INTEGER NOT NULL, size INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL, offset INTEGER NOT NULL, head TEXT NOT NULL,
  prompt_id TEXT NOT NULL, tool_use_ids TEXT NOT NULL, message_id TEXT NOT NULL,
  tail TEXT NOT NULL, bad_lines INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO "cursors" VALUES('/home/ana/.claude/projects/p/s.jsonl','5d0f1c9e-6a53-4f0e-9d5b-0c6f2b7f1a11',1,2,3,4,5,'5:abc','prompt-1','toolu_1','msg_2','t',1);
CREATE TABLE entries (
  seq INTEGER PRIMARY KEY, -- rises with every change: what has a higher one is news
  message_id TEXT NOT NULL UNIQUE,
  session_id TEXT NOT NULL, agent TEXT NOT NULL, agent_id TEXT NOT NULL,
  prompt_id TEXT NOT NULL, branch TEXT NOT NULL, model TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
  cache_read_tokens INTEGER NOT NULL,
  cache_write_5m_tokens INTEGER NOT NULL, cache_write_1h_tokens INTEGER NOT NULL,
  web_searches INTEGER NOT NULL,
  speed TEXT NOT NULL, geo TEXT NOT NULL, tier TEXT NOT NULL,
  responses INTEGER NOT NULL, -- 1, or 0 for what an advisor used within another step
  parts TEXT NOT NULL, -- the iterations of the step as JSON, or empty
  stated_picousd INTEGER, -- what a 1.x client wrote that it cost
  user TEXT NOT NULL, -- whose session it was
  price_version TEXT NOT NULL, picousd INTEGER, bound_picousd INTEGER NOT NULL,
  listed_picousd INTEGER NOT NULL -- at list prices, as the client counts
);
INSERT INTO "entries" VALUES(3,'msg_3','5d0f1c9e-6a53-4f0e-9d5b-0c6f2b7f1a11','main','','prompt-1','é x','claude-omega-9',1795428000000,10,200,30000,1000,0,0,'','','',1,'',NULL,'','round',NULL,7010000000,7010000000);
INSERT INTO "entries" VALUES(4,'msg_1','5d0f1c9e-6a53-4f0e-9d5b-0c6f2b7f1a11','main','','prompt-1','main','claude-sonnet-5',1795428000000,10,200,30000,1000,0,0,'','','',1,'',NULL,'','round',7010000000,0,7010000000);
INSERT INTO "entries" VALUES(5,'msg_4','s2','Explore','a1','prompt-2','main','claude-sonnet-5',1795514400000,10,200,30000,1000,0,0,'','','',1,'',NULL,'','round',7010000000,0,7010000000);
INSERT INTO "entries" VALUES(6,'msg_2','5d0f1c9e-6a53-4f0e-9d5b-0c6f2b7f1a11','main','','prompt-1','main','claude-sonnet-5',1795428000000,10,999,30000,1000,0,0,'','','',1,'',NULL,'','round',15000000000,0,15000000000);
INSERT INTO "entries" VALUES(7,'msg_5','5d0f1c9e-6a53-4f0e-9d5b-0c6f2b7f1a11','main','','prompt-1','main','claude-sonnet-5',1795428000000,10,200,30000,1000,0,0,'','','',1,'',NULL,'','round',7010000000,0,7010000000);
CREATE TABLE events (
  seq INTEGER PRIMARY KEY,
  at_ms INTEGER NOT NULL, kind TEXT NOT NULL, session_id TEXT NOT NULL, agent_id TEXT NOT NULL,
  facts TEXT NOT NULL
);
INSERT INTO "events" VALUES(1,1795428000000,'grant','s2','','{"budget": "day"}');
CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "facts" VALUES('backlog','pending');
INSERT INTO "facts" VALUES('id','0123456789ABCDEF');
INSERT INTO "facts" VALUES('root','/home/ana/work');
CREATE TABLE grants (
  seq INTEGER PRIMARY KEY,
  at_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL,
  session_id TEXT NOT NULL, -- empty: of every session
  budget TEXT NOT NULL, unit TEXT NOT NULL, amount INTEGER NOT NULL,
  person TEXT NOT NULL, reason TEXT NOT NULL
);
INSERT INTO "grants" VALUES(1,1795428000000,1795514400000,'','day','usd',5000000000000,'ana@example.com','a release');
INSERT INTO "grants" VALUES(2,1795428000001,1795514400000,'s2','day','usd',1000000000000,'ana@example.com','');
CREATE TABLE model_totals (
  session_id TEXT NOT NULL, model TEXT NOT NULL,
  input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
  cache_read_tokens INTEGER NOT NULL, cache_write_tokens INTEGER NOT NULL,
  web_searches INTEGER NOT NULL, picousd INTEGER NOT NULL,
  PRIMARY KEY (session_id, model)
) WITHOUT ROWID;
CREATE TABLE reservations (
  session_id TEXT NOT NULL, agent_id TEXT NOT NULL, user TEXT NOT NULL,
  who TEXT NOT NULL, spend TEXT NOT NULL, -- JSON
  until_ms INTEGER NOT NULL,
  PRIMARY KEY (session_id, agent_id)
) WITHOUT ROWID;
CREATE TABLE said (key TEXT PRIMARY KEY, at_ms INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO "said" VALUES('mark|day',1795428000000);
CREATE TABLE sources (
  path TEXT PRIMARY KEY, ledger_id TEXT NOT NULL, stamp TEXT NOT NULL,
  seq INTEGER NOT NULL, unattributed_seq INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE totals (
  span TEXT NOT NULL, start NOT NULL,
  model TEXT NOT NULL, agent TEXT NOT NULL, branch TEXT NOT NULL, user TEXT NOT NULL,
  steps INTEGER NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
  cache_read_tokens INTEGER NOT NULL,
  cache_write_5m_tokens INTEGER NOT NULL, cache_write_1h_tokens INTEGER NOT NULL,
  web_searches INTEGER NOT NULL, picousd INTEGER NOT NULL, bound_picousd INTEGER NOT NULL,
  listed_picousd INTEGER NOT NULL, unattributed_picousd INTEGER NOT NULL,
  unpriced_steps INTEGER NOT NULL,
  PRIMARY KEY (span, start, model, agent, branch, user)
) WITHOUT ROWID;
INSERT INTO "totals" VALUES('all',0,'','','','ana@example.com',0,0,0,0,0,0,0,0,0,0,2992990000000,0);
INSERT INTO "totals" VALUES('all',0,'claude-omega-9','main','é x','',1,10,200,30000,1000,0,0,0,7010000000,7010000000,0,1);
INSERT INTO "totals" VALUES('all',0,'claude-sonnet-5','Explore','main','',1,10,200,30000,1000,0,0,7010000000,0,7010000000,0,0);
INSERT INTO "totals" VALUES('all',0,'claude-sonnet-5','main','main','',3,30,1399,90000,3000,0,0,29020000000,0,29020000000,0,0);
INSERT INTO "totals" VALUES('day',1795392000000,'','','','ana@example.com',0,0,0,0,0,0,0,0,0,0,2992990000000,0);
INSERT INTO "totals" VALUES('day',1795392000000,'claude-omega-9','main','é x','',1,10,200,30000,1000,0,0,0,7010000000,7010000000,0,1);
INSERT INTO "totals" VALUES('day',1795392000000,'claude-sonnet-5','main','main','',3,30,1399,90000,3000,0,0,29020000000,0,29020000000,0,0);
INSERT INTO "totals" VALUES('day',1795478400000,'claude-sonnet-5','Explore','main','',1,10,200,30000,1000,0,0,7010000000,0,7010000000,0,0);
INSERT INTO "totals" VALUES('hour',1795428000000,'','','','ana@example.com',0,0,0,0,0,0,0,0,0,0,2992990000000,0);
INSERT INTO "totals" VALUES('hour',1795428000000,'claude-omega-9','main','é x','',1,10,200,30000,1000,0,0,0,7010000000,7010000000,0,1);
INSERT INTO "totals" VALUES('hour',1795428000000,'claude-sonnet-5','main','main','',3,30,1399,90000,3000,0,0,29020000000,0,29020000000,0,0);
INSERT INTO "totals" VALUES('hour',1795514400000,'claude-sonnet-5','Explore','main','',1,10,200,30000,1000,0,0,7010000000,0,7010000000,0,0);
INSERT INTO "totals" VALUES('quarter',1795428000000,'','','','ana@example.com',0,0,0,0,0,0,0,0,0,0,2992990000000,0);
INSERT INTO "totals" VALUES('quarter',1795428000000,'claude-omega-9','main','é x','',1,10,200,30000,1000,0,0,0,7010000000,7010000000,0,1);
INSERT INTO "totals" VALUES('quarter',1795428000000,'claude-sonnet-5','main','main','',3,30,1399,90000,3000,0,0,29020000000,0,29020000000,0,0);
INSERT INTO "totals" VALUES('quarter',1795514400000,'claude-sonnet-5','Explore','main','',1,10,200,30000,1000,0,0,7010000000,0,7010000000,0,0);
INSERT INTO "totals" VALUES('session','5d0f1c9e-6a53-4f0e-9d5b-0c6f2b7f1a11','','','','ana@example.com',0,0,0,0,0,0,0,0,0,0,1000000000000,0);
INSERT INTO "totals" VALUES('session','5d0f1c9e-6a53-4f0e-9d5b-0c6f2b7f1a11','claude-omega-9','main','é x','',1,10,200,30000,1000,0,0,0,7010000000,7010000000,0,1);
INSERT INTO "totals" VALUES('session','5d0f1c9e-6a53-4f0e-9d5b-0c6f2b7f1a11','claude-sonnet-5','main','main','',3,30,1399,90000,3000,0,0,29020000000,0,29020000000,0,0);
INSERT INTO "totals" VALUES('session','s2','','','','ana@example.com',0,0,0,0,0,0,0,0,0,0,1992990000000,0);
INSERT INTO "totals" VALUES('session','s2','claude-sonnet-5','Explore','main','',1,10,200,30000,1000,0,0,7010000000,0,7010000000,0,0);
CREATE TABLE unattributed (
  seq INTEGER PRIMARY KEY, -- as of entries
  session_id TEXT NOT NULL, quarter INTEGER NOT NULL, user TEXT NOT NULL,
  picousd INTEGER NOT NULL,
  UNIQUE (session_id, quarter, user)
);
INSERT INTO "unattributed" VALUES(1,'5d0f1c9e-6a53-4f0e-9d5b-0c6f2b7f1a11',1795428000000,'ana@example.com',1000000000000);
INSERT INTO "unattributed" VALUES(2,'s2',1795428000000,'ana@example.com',1992990000000);
CREATE INDEX entries_at ON entries (at_ms);
CREATE INDEX entries_session ON entries (session_id, at_ms);
CREATE INDEX entries_user ON entries (user, at_ms);
CREATE INDEX cursors_session ON cursors (session_id);
CREATE INDEX events_kind ON events (kind, at_ms);
COMMIT;
PRAGMA user_version = 1;
