// Package hostile has fuzz targets for what a role that may write to our tables, or call our SQL functions, can do to the
// pods: every function with any arguments, and any row in every table, on a real Postgres. Whatever gets in, it is read, and
// nothing stops.
package hostile
