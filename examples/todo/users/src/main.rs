//! The users service of the todo system as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    todo_platform::main("todo-users", true, todo_users::run)
}
