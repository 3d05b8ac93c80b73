//! Rows that berth has written, column by column in Postgres's binary form: what the records of a statement are made
//! of without looking at it.

use std::error::Error;

use anyhow::{Context, Result};
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Row};

/// A value as it travels.
#[derive(Debug)]
pub struct Raw(pub Option<Vec<u8>>);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Raw, Box<dyn Error + Sync + Send>> {
        Ok(Raw(Some(raw.to_vec())))
    }

    fn from_sql_null(_: &Type) -> Result<Raw, Box<dyn Error + Sync + Send>> {
        Ok(Raw(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A column of a table.
#[derive(Debug)]
struct Column {
    name: String,
    type_oid: u32,
    values: Vec<Raw>,
}

#[derive(Debug)]
pub struct Table {
    name: &'static str,
    /// Of a row of the copy.
    row_oid: u32,
    columns: Vec<Column>,
}

impl Table {
    /// The rows that `which`, the end of a query, picks; as many as `rows` at most.
    pub async fn read(client: &Client, name: &'static str, which: &str, rows: usize) -> Result<Table> {
        let described = client
            .query(
                "select attname::text, atttypid from pg_attribute \
                 where attrelid = $1::text::regclass and attnum > 0 and not attisdropped and attgenerated = '' \
                 order by attnum",
                &[&name],
            )
            .await?;
        let column = |row: &Row| Column { name: row.get(0), type_oid: row.get(1), values: Vec::new() };
        let mut columns: Vec<Column> = described.iter().map(column).collect();
        let list: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let found = client.query(&format!("select {} from {name} {which} limit {rows}", list.join(", ")), &[]).await?;
        for row in &found {
            for (index, column) in columns.iter_mut().enumerate() {
                column.values.push(row.try_get(index)?);
            }
        }
        let of_row = client.query_one("select ('berth_bulk.' || $1::text)::regtype::oid", &[&name]).await?;
        Ok(Table { name, row_oid: of_row.get(0), columns })
    }

    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, |column| column.values.len())
    }

    pub fn values(&self, name: &str) -> Result<&[Raw]> {
        let column = self.columns.iter().find(|column| column.name == name);
        Ok(&column.with_context(|| format!("{} has no column {name}", self.name))?.values)
    }

    /// The insert into the copy of the table, of the records in this parameter.
    pub fn insert(&self, parameter: usize) -> String {
        let name = self.name;
        format!("insert into berth_bulk.{name} select new.* from unnest(${parameter}::berth_bulk.{name}[]) as new")
    }

    /// Some of the rows as records; `new` stands in for the columns that it names.
    pub fn records<'a>(&'a self, from: usize, count: usize, new: &[(&str, &'a [Raw])]) -> Records<'a> {
        let given = |column: &Column| new.iter().find(|(name, _)| *name == column.name).map(|(_, values)| *values);
        let values = |column: &'a Column| given(column).unwrap_or(&column.values[from..from + count]);
        let columns = self.columns.iter().map(|column| (column.type_oid, values(column))).collect();
        Records { row_oid: self.row_oid, columns, count }
    }
}

/// An array of records, as berth hands over its rows.
#[derive(Debug)]
pub struct Records<'a> {
    row_oid: u32,
    columns: Vec<(u32, &'a [Raw])>,
    count: usize,
}

impl ToSql for Records<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        // One dimension, no nulls, the items' type, their number, the first index.
        for number in [1, 0, self.row_oid, u32::try_from(self.count)?, 1] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        for row in 0..self.count {
            let start = out.len();
            out.extend_from_slice(&[0; 4]);
            out.extend_from_slice(&u32::try_from(self.columns.len())?.to_be_bytes());
            for (type_oid, values) in &self.columns {
                out.extend_from_slice(&type_oid.to_be_bytes());
                match &values[row].0 {
                    None => out.extend_from_slice(&(-1i32).to_be_bytes()),
                    Some(bytes) => {
                        out.extend_from_slice(&i32::try_from(bytes.len())?.to_be_bytes());
                        out.extend_from_slice(bytes);
                    }
                }
            }
            let length = i32::try_from(out.len() - start - 4)?;
            out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
