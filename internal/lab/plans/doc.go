// Package plans reads the plans of this project's statements on tables of a realistic size. It holds tests only.
package plans
