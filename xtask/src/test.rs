use std::time::Instant;

use bowline_test_services::{Service, Services};

use crate::report::Report;
use crate::{checks, examples, services, setup, size, suite};

/// Runs everything CI checks; a failed part does not stop the others.
pub(crate) fn run() -> Result<(), String> {
    setup::prepare()?;
    let mut report = Report::default();
    report.check("format", checks::format);
    report.check("lints", checks::lints);
    with_servers(&mut report);
    report.check("docs", checks::docs);
    for feature in checks::features()? {
        let name = feature.as_deref().unwrap_or("none");
        report.check(&format!("feature {name}"), || {
            checks::feature(feature.as_deref())
        });
    }
    report.check("no driver and no C code without features", checks::pure);
    report.check("package", checks::package);
    report.check("size", || size::check().map(|text| println!("{text}")));
    report.finish()
}

fn with_servers(report: &mut Report) {
    let built = match suite::build() {
        Ok(built) => built,
        Err(problem) => return report.fail(format!("build of the tests: {problem}")),
    };
    println!("\n=== servers");
    let began = Instant::now();
    let all = [Service::Postgres, Service::Redis, Service::Kafka];
    let servers = match Services::start(&all) {
        Ok(servers) => servers,
        Err(problem) => return report.fail(format!("servers: {problem}")),
    };
    println!(
        "=== servers: ready after {:.1} s",
        began.elapsed().as_secs_f64()
    );
    let environment = services::variables(&servers);
    for binary in &built.tests {
        suite::run(binary, &environment, report);
    }
    suite::doctests(&environment, report);
    examples::compare(&built.examples, &environment, report);
}
