-- The application's own table: who may log in.
CREATE TABLE member (
    name      text PRIMARY KEY,
    full_name text NOT NULL,
    password  text NOT NULL -- by bcrypt
);
