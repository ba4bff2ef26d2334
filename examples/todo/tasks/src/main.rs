//! The tasks service of the todo system as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    todo_platform::main("todo-tasks", true, todo_tasks::run)
}
