//! The notifications service of the todo system as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    todo_platform::main("todo-notifications", true, todo_notifications::run)
}
