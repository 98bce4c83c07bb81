-- The tables that blocks on pages use.
CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL, tags text[] NOT NULL DEFAULT '{}');
CREATE TABLE orders (region text NOT NULL, number bigint NOT NULL, total bigint NOT NULL DEFAULT 0, PRIMARY KEY (region, number));
CREATE TABLE user_setting (user_id bigint NOT NULL, key text NOT NULL, value jsonb NOT NULL, PRIMARY KEY (user_id, key));
INSERT INTO users VALUES (42, 'Ada'), (43, 'Grace');
INSERT INTO orders VALUES ('eu', 1, 100);
INSERT INTO user_setting VALUES (42, 'sessions', '["a", "b"]');
